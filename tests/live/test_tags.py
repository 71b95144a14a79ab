"""Template tags: a page that is whole without JavaScript, whose live places are what frames would make of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import TemplateSyntaxError
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.utils.safestring import mark_safe

from tests.live.pieces import Said, request, templates, visitor
from tests.live.tagged import LOAD, blank, places, rendered, shown, token_of
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser, live
from via_state.exceptions import (
    DeclarationError,
    FragmentUnknown,
    InvalidKey,
    NotBound,
    NotFollowed,
)
from via_state.live.protocol.vector import dumps
from via_state.live.rendering.renderer import render
from via_state.live.visitors.tokens import Ticket, TokenRefused
from via_state.live.visitors.visitor import Visitor


@pytest.fixture(autouse=True)
def state() -> Iterator[None]:
    with blank():
        yield


# Texts and attributes -----------------------------------------------------------------------------------------


def test_a_text_is_an_element_that_says_what_it_shows() -> None:
    class Chat(State):
        lines = StateAppEvents(Said, key="lines.{room}")

    Chat.lines.at(room=7).append(Said("<one>"))
    html = rendered('{% via_text "tests.Chat.lines" room=7 filter="first" tag="output" prefix="“" suffix="”" %}')
    (place,) = places(html)
    token = token_of(place)
    assert html == re.sub(">.*", ">“&lt;one&gt;”</output>", html)
    assert place["tag"] == "output"
    assert place["data-via-id"] == token.spec.id
    assert json.loads(place["data-via-at"])["lines.7"][1] == 1
    assert token.keys == ("lines.7",)
    assert token.code == ""
    assert render(token.spec, visitor()).body == "“<one>”"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", mark_safe("<img src=x onerror=alert(1)>"), "\"' onload=x", "a & b"]
)
def test_f4_what_state_says_is_text(text: str) -> None:
    class Chat(State):
        name = StateApp(str)

    Chat.name.set(text)
    html = rendered(
        '{% via_text "tests.Chat.name" %}<i {% via_attr "tests.Chat.name" to="title" %}></i>{{ one.text }}',
        one=Chat.name,
    )
    assert html.count("<") == 6
    first, attribute, last = places(html)
    assert attribute["title"] == text
    assert unescape(re.findall(r">([^<]*)</span>", html)[0]) == text
    assert first == last


@pytest.mark.parametrize(
    ("to", "value", "written"),
    [
        ("value", 40, ' value="40"'), ("value", None, ""), ("hidden", True, ' hidden=""'), ("hidden", False, ""),
        ("href", "/a/", ' href="/a/"'), ("href", "java\tscript:alert(1)", ""), ("xlink:href", " JavaScript:x", ""), ("text", "Mail", ""),
    ],
)  # fmt: skip
def test_an_attribute_is_written_as_the_client_would(to: str, value: Any, written: str) -> None:
    class Job(State):
        done = StateApp[int | str | bool | None](default=None)

    Job.done.set(value)
    html = rendered(f'<b {{% via_attr "tests.Job.done" to="{to}" %}}></b>')
    assert html.endswith(f' data-via-to="{to}"{written}></b>')
    (place,) = places(html)
    at = {"done": render(token_of(place).spec, visitor()).at["done"]}
    assert place["data-via-at"] == dumps({} if to == "text" else at)


@pytest.mark.parametrize(
    "to", ["onclick", "ONCLICK", "srcdoc", "style", "data-via", "data-via-at", "a b", "", "x=y"]
)
def test_f4_no_attribute_runs_a_script(to: str) -> None:
    class Job(State):
        done = StateApp(int)

    with pytest.raises(DeclarationError, match="attribute"):
        rendered('<b {% via_attr "tests.Job.done" to=to %}></b>', to=to)


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ('{% via_text "tests.Chat.cuont" %}', DeclarationError, "Did you mean 'tests.Chat.count'"),
        ('{% via_text "tests.Chat.room" %}', InvalidKey, "room is missing"),
        ('{% via_text "tests.Chat.count" room=1 %}', InvalidKey, "no parameters"),
        ('{% via_text "tests.Chat.room" room=1.5 %}', DeclarationError, "float"),
        ('{% via_text "tests.Chat.count" filter="nothing" %}', LookupError, "nothing"),
        ('{% via_text "tests.Chat.count" tag="script" %}', DeclarationError, "script"),
        ("{% via_text %}", TemplateSyntaxError, "via_text"),
        ("{% via_text room=1 %}", TemplateSyntaxError, "via_text"),
        ('{% via_text "tests.Chat.count" 7 %}', TemplateSyntaxError, "via_text"),
        ('{% via_attr "tests.Chat.count" %}', TemplateSyntaxError, "to="),
        ("{% via_text 7 %}", DeclarationError, "int"),
        ('{% via_live "nothing.html" %}', FragmentUnknown, "nothing"),
    ],
)
def test_a_tag_that_can_not_work_says_why(source: str, error: type[Exception], match: str) -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")

    with pytest.raises(error, match=match):
        rendered(source)


def test_a_declaration_is_given_as_it_is() -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")

    Chat.room.at(room="a b").set(4)
    named = rendered('{% via_text "tests.Chat.count" %}{% via_text "tests.Chat.room" room="a b" %}')
    assert (
        rendered("{% via_text Chat.count %}{% via_text room %}", Chat=Chat, room=Chat.room.at(room="a b")) == named
    )
    assert rendered("{{ Chat.count.text }}{{ room.text }}", Chat=Chat, room=Chat.room.at(room="a b")) == named
    assert ">4<" in named


def test_without_a_request_a_text_is_a_plain_element() -> None:
    class Chat(State):
        count = StateApp(int)
        mine = StateUser(int)

    @live.fragment("partroom.html", shared=True)
    def room() -> dict[str, Any]:
        return {}

    @live.fragment("partmine.html")
    def mine(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(
        page=LOAD
        + '{% via_text "tests.Chat.count" %}{% via_live "partroom.html" %}<i {% via_attr "tests.Chat.count" to="title" %}>',
        mail=LOAD + '{% via_text "tests.Chat.mine" %}',
        other=LOAD + '{% via_live "partmine.html" %}',
        partroom="x",
        partmine="x",
    ):
        assert render_to_string("page.html") == '<span>0</span><div>x</div><i data-via-to="title" title="0">'
        for name in ("mail.html", "other.html"):
            with pytest.raises(NotBound, match="request"):
                render_to_string(name)


# Whose it is --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_t3_state_of_a_visitor_has_a_token_for_this_visitor_alone() -> None:
    class Inbox(State):
        unread = StateUser(int, key="inbox.unread")
        draft = StateSess(str, key="draft")
        all = StateApp(int)

    ann = User.objects.create_user("ann")
    Inbox(ann).unread.set(3)
    shown.update(Inbox=lambda made: Inbox(made))
    source = '{% via_text "tests.Inbox.unread" %}{% via_text Inbox.unread %}{% via_text request.user|state:"tests.Inbox.unread" %}{{ Inbox.unread.text }}{% via_text "tests.Inbox.draft" %}'
    client, other = Client(), Client()
    client.force_login(ann)
    other.force_login(User.objects.create_user("ben"))
    with templates(page=LOAD + source, public=LOAD + '{% via_text "tests.Inbox.all" %}'):
        answer = client.get("/")
        *unread, draft = places(answer.content.decode())
        assert len(unread) == 4
        assert unread == [unread[0]] * 4
        who = Visitor.of_request(answer.wsgi_request).ticket
        assert token_of(unread[0], who.audience).keys == ("~user.inbox.unread",)
        assert "via.user" not in answer.content.decode()
        assert token_of(draft, who.audience).spec.audience == "session"
        assert answer.headers["Cache-Control"] == "private"
        assert "Cookie" in answer.headers["Vary"]

        theirs = Visitor.of_request(other.get("/").wsgi_request).ticket
        for audience in ("", theirs.audience, Ticket().audience):
            with pytest.raises(TokenRefused):
                token_of(unread[0], audience)
        client.logout()
        client.force_login(ann)
        assert Visitor.of_request(client.get("/").wsgi_request).ticket.audience != who.audience


@pytest.mark.django_db(transaction=True)
def test_t3_a_token_that_a_cache_gives_to_somebody_else_is_refused() -> None:
    class Inbox(State):
        unread = StateUser(int)

    ann, ben = Client(), Client()
    ann.force_login(User.objects.create_user("ann"))
    ben.force_login(User.objects.create_user("ben"))
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "t3"}}
    source = (
        '{% load cache %}{% cache 60 "unread" %}{% via_text "tests.Inbox.unread" %}{% endcache %}{% via_scripts %}'
    )
    with templates(page=LOAD + source), override_settings(CACHES=caches):
        (first,) = places(ann.get("/").content.decode())
        answer = ben.get("/")
        assert places(answer.content.decode()) == [first]
        with pytest.raises(TokenRefused):
            token_of(first, Visitor.of_request(answer.wsgi_request).ticket.audience)


@pytest.mark.django_db(transaction=True)
def test_t3_a_page_for_everybody_may_be_cached_and_starts_no_session() -> None:
    class Chat(State):
        count = StateApp(int)

    @live.fragment("partroom.html", shared=True)
    def room() -> dict[str, Any]:
        return {}

    @live.fragment("partallowed.html", shared=True, allow=lambda user: True)
    def allowed() -> dict[str, Any]:
        return {}

    public = LOAD + '{% via_text "tests.Chat.count" %}{% via_live "partroom.html" shared %}'
    with templates(page=public, partroom="x"):
        answer = Client().get("/")
        assert [token_of(place).audience for place in places(answer.content.decode())] == ["", ""]
        assert "Cache-Control" not in answer.headers
        assert not answer.cookies
    with templates(
        page=public + '{% via_live "partallowed.html" %}{% via_scripts %}', partroom="x", partallowed="y"
    ):
        answer = Client().get("/")
        assert answer.headers["Cache-Control"] == "private"
        assert set(answer.cookies) == {"csrftoken"}
        *_, last = places(answer.content.decode())
        with pytest.raises(TokenRefused):
            token_of(last)


@pytest.mark.django_db(transaction=True)
def test_state_that_is_bound_to_somebody_else_is_no_live_text_of_this_page() -> None:
    class Inbox(State):
        unread = StateUser(int)

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    client = Client()
    client.force_login(ann)
    shown.update(other=lambda made: Inbox(ben).unread, own=lambda made: Inbox(ann).unread)
    with templates(page=LOAD + "{% via_text own %}"):
        assert client.get("/").status_code == 200
    with templates(page=LOAD + "{% via_text other %}"), pytest.raises(NotFollowed, match="somebody else"):
        client.get("/")


@pytest.mark.django_db(transaction=True)
def test_only_a_user_whom_the_session_signed_in_is_in_the_ticket() -> None:
    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    client = Client()
    client.force_login(ann)
    with templates(page=""):
        made = client.get("/").wsgi_request
        assert Visitor.of_request(made).ticket.user == str(ann.pk)
        del made._via_visitor  # type: ignore[attr-defined]
        made.user = ben  # as a token in a header does
        assert Visitor.of_request(made).ticket.user == ""
        assert not Visitor.of_request(made).user.is_authenticated
    assert Visitor.of_request(request(user=ann)).ticket.user == ""
