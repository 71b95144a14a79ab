"""What a live page has in its head, what is hidden from others, and what the checks say of fragments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import Client, override_settings

from tests.live.pieces import request, templates
from tests.live.tagged import AGE, LOAD, blank, rendered, shown
from via_state import State, StateApp, StateSess, live
from via_state.exceptions import (
    DeclarationError,
    NotFollowed,
)
from via_state.live.checks import check_groups
from via_state.live.protocol.vector import ABSENT
from via_state.live.rendering.fragments import fragments
from via_state.live.visitors.tokens import open_ticket


@pytest.fixture(autouse=True)
def state() -> Iterator[None]:
    with blank():
        yield


# The head -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_script_knows_the_page_and_its_settings() -> None:
    client = Client()
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    with (
        templates(page=LOAD + '{% via_group "staff" %}{% via_scripts %}'),
        override_settings(VIA_STATE={"LIVE_SLEEP": None, "LIVE_GROUPS": f"{__name__}.groups_of"}),
    ):
        answer = client.get("/?a=1")
    html = answer.content.decode()
    script = re.findall(r"<script([^>]*)></script>", html)
    data = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', script[0])}
    ticket = open_ticket(data.pop("data-via-page"), 2e9, AGE)
    assert (ticket.user, ticket.path, ticket.groups) == (str(ann.pk), "/?a=1", ("people", "staff"))
    assert (ticket.language, ticket.timezone) == ("en-us", "UTC")
    data.pop("nonce", None)
    assert data.pop("data-via-csrf")
    assert data.pop("data-via-unsent").endswith("again.")
    assert data.pop("data-via-unknown").endswith("again.")
    assert data == {
        "type": "module",
        "src": "/static/via_state/via-1.js",
        "data-via-url": "/via/live/",
        "data-via-poll": "15",
    }
    assert answer.headers["Cache-Control"] == "private"


def groups_of(made: HttpRequest) -> list[str]:
    return ["people"] if made.user.is_authenticated else []


def test_scripts_of_broadcasts_run_only_where_a_setting_says_so() -> None:
    with override_settings(VIA_STATE={"LIVE_SCRIPTS": True}):
        assert ' data-via-scripts="1"' in rendered("{% via_scripts %}")
    assert "data-via-scripts" not in rendered("{% via_scripts %}")


@pytest.mark.parametrize("where", ["request", "context", "django"])
def test_the_pages_nonce_is_on_what_it_allows(where: str) -> None:
    made = request(
        **{"csp_nonce": "abc"} if where == "request" else {"_csp_nonce": "abc"} if where == "django" else {}
    )
    html = rendered("{% via_scripts %}", made, **({"csp_nonce": "abc"} if where == "context" else {}))
    assert html.count(' nonce="abc"') == 1
    assert "<style" not in html, "nothing is hidden from others here"


def test_what_belongs_into_the_head_says_so() -> None:
    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(page=LOAD + "{% via_scripts %}"), pytest.raises(Exception, match="head"):
        render_to_string("page.html")
    with pytest.raises(Exception, match="head"):
        rendered('{% via_live "partroom.html" %}', partroom=LOAD + "{% via_scripts %}")
    with pytest.raises(DeclarationError, match="before"):
        rendered('{% via_scripts %}{% via_group "staff" %}')
    with pytest.raises(DeclarationError, match="characters"):
        rendered('{% via_group "" %}')
    many = "".join(f'{{% via_group "group of a long name {number}" %}}' for number in range(200))
    with pytest.raises(DeclarationError, match="200 groups"):
        rendered(many + "{% via_scripts %}")


def test_what_does_not_fit_into_a_token_is_refused() -> None:
    class Chat(State):
        room = StateApp(int, key="a-room-whose-key-is-long.{room}")

    @live.fragment("partrooms.html", shared=True)
    def rooms(size: int) -> dict[str, Any]:
        return {"sum": sum(Chat.room.at(room=f"{number}{'x' * size}").read() for number in range(64))}

    assert rendered('{% via_live "partrooms.html" size=1 %}', partrooms="{{ sum }}")
    with pytest.raises(NotFollowed, match="64 keys"):
        rendered('{% via_live "partrooms.html" size=40 %}', partrooms="{{ sum }}")


@pytest.mark.django_db(transaction=True)
def test_what_is_mine_is_hidden_from_others() -> None:
    @live.fragment("parttable.html", shared=True)
    def table() -> dict[str, Any]:
        return {"author": ann.pk}

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    source = (
        LOAD
        + '{% via_scripts %}<b {% via_mine author %}></b><b {% via_mine user %}></b><b {% via_mine nobody %}></b>{% via_live "parttable.html" %}'
    )
    shown.update(author=ann.pk, nobody=None)
    found = {}
    with templates(page=source, parttable=LOAD + "<b {% via_mine author %}></b>"):
        for name, user in {"ann": ann, "ben": ben, "nobody": None}.items():
            client = Client()
            if user is not None:
                client.force_login(user)
            html = client.get("/").content.decode()
            assert html.count("<style") == 1
            mine = re.findall(r'not\(\[data-via-mine="([^"]+)"', html)[0]
            found[name] = [
                (value == mine, bool(hidden))
                for value, hidden in re.findall(r'<b data-via-mine="([^"]*)"( hidden)?>', html)
            ]
    assert found["ann"] == [(True, False), (True, False), (False, True), (True, False)]
    assert found["ben"] == [(False, True), (True, False), (False, True), (False, False)]
    assert found["nobody"] == [(False, True), (False, True), (False, True), (False, False)]


def test_tokens_of_a_part_of_their_life_are_the_same_text() -> None:
    class Chat(State):
        count = StateApp(int)

    assert rendered('{% via_text "tests.Chat.count" %}') == rendered('{% via_text "tests.Chat.count" %}')
    assert ABSENT.record == "-"


@pytest.mark.django_db(transaction=True)
def test_o1_nothing_that_opens_something_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Inbox(State):
        draft = StateSess(str)

    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {"draft": Inbox(visitor).draft.read()}

    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_user("ann"))
    caplog.set_level(0)
    with templates(
        page=LOAD + '{% via_scripts %}{% via_live "partroom.html" %}{{ request.user|state:"x" }}',
        partroom="{{ draft }}",
    ):
        client.get("/")
    secrets = [client.session.session_key, client.session["_auth_user_hash"]]
    assert caplog.records
    text = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert not any(secret in text for secret in secrets)


def found_by_checks() -> list[tuple[str, str]]:
    from via_state.checks import check_fragments

    return [(str(one.id), str(one.obj)) for one in check_fragments()]


def test_checks_name_fragments_that_can_not_work() -> None:
    @live.fragment("good.html")
    def good(visitor: live.Visitor, room: int, *, day: date = date(2026, 1, 1)) -> dict[str, Any]:
        return {}

    @live.fragment("missing.html", shared=True)
    def missing() -> dict[str, Any]:
        return {}

    @live.fragment("broken.html", shared=True)
    def broken() -> dict[str, Any]:
        return {}

    @live.fragment("personal.html", shared=True)
    def personal(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    @live.fragment("nobody.html")
    def nobody() -> dict[str, Any]:
        return {}

    @live.fragment("untyped.html", shared=True)
    def untyped(room) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        return {}

    @live.fragment("many.html")
    def many(visitor: live.Visitor, *rooms: int) -> dict[str, Any]:
        return {}

    @live.fragment("list.html", shared=True)
    def several(rooms: list[int]) -> dict[str, Any]:
        return {}

    names = dict.fromkeys(("good", "personal", "nobody", "untyped", "many", "list"), "")
    with templates(**names, broken="{% if %}"):
        found = found_by_checks()
    assert found == [
        ("via_state.E041", "The fragment 'missing.html'"),
        ("via_state.E041", "The fragment 'broken.html'"),
        *(
            ("via_state.E042", f"The fragment '{name}.html'")
            for name in ("personal", "nobody", "untyped", "many", "list")
        ),
    ]
    with pytest.raises(DeclarationError, match="'visitor'"):
        fragments.get("personal.html").spec({})


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (None, []),
        (f"{__name__}.groups_of", []),
        (f"{__name__}.group_of_nobody", ["via_state.E043"]),
        ("tests.live.tagged.LOAD", ["via_state.E043"]),
    ],
)
def test_a_check_names_groups_that_nobody_can_ask_for(groups: str | None, found: list[str]) -> None:
    with override_settings(VIA_STATE={"LIVE_GROUPS": groups}):
        assert [one.id for one in check_groups()] == found


def test_a_template_has_one_function() -> None:
    def declare(module: str) -> None:
        def room() -> dict[str, Any]:
            return {}

        room.__module__ = module
        live.fragment("room.html", shared=True)(room)

    declare("one")
    declare("one")  # its module was loaded again
    with pytest.raises(DeclarationError, match="twice"):
        declare("other")
