"""What a node shows: the same by every way of rendering it, of one moment, for the visitor and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.safestring import mark_safe

from tests.live.pieces import Said, declaring, templates, visitor
from tests.live.renders import both, html, text
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser, live
from via_state.backplanes.memory import MemoryBackplane
from via_state.declarations.session_id import SESSION_KEY
from via_state.exceptions import (
    DeclarationError,
    FragmentUnknown,
)
from via_state.live.protocol.content import Content, Gone
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import ABSENT
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import arender, code_of, locate, render
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.testing import memory_pod

ANN = UUID("12345678-1234-5678-1234-567812345678")
SID = "sid-of-this-session"


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with declaring(), memory_pod() as pod:
        yield pod


# Texts --------------------------------------------------------------------------------------------------------


def test_a_text_shows_the_state_and_where_it_is() -> None:
    class Chat(State):
        lines = StateAppEvents(Said, key="lines.{room}")
        banner = StateApp(str, default="hello")

    spec = text("Chat.lines", {"room": 7}, filter="length", prefix="(", suffix=")")
    assert both(spec)[:1] == ("(0)",)
    at = Chat.lines.at(room=7).append(Said("one"))

    found = both(spec)
    assert found.body == "(1)"
    assert found.at["lines.7"].offset == at == 1
    assert list(found.watched) == ["lines.7"]
    assert not found.halted

    assert both(text("Chat.banner")).at == {"banner": ABSENT}
    Chat.banner.set("welcome")
    assert both(text("Chat.banner")).body == "welcome"
    assert both(text("Chat.banner")).at["banner"].epoch == ""


@pytest.mark.parametrize(
    ("language", "zone", "value", "filter", "shown"),
    [
        ("de", "UTC", Decimal("1234.5"), "", "1.234,5"),
        ("en", "UTC", 12345, "intcomma", "12,345"),
        ("de", "UTC", 12345, "humanize.intcomma", "12.345"),
        ("en", "UTC", 3.14159, "floatformat:2", "3.14"),
        ("en", "UTC", "a & b", "upper", "A & B"),
        ("en", "UTC", True, "yesno:'on,off'", "on"),
        ("de", "UTC", date(2026, 5, 1), "", "1. Mai 2026"),
        ("en", "UTC", mark_safe("<b>"), "", "<b>"),
        ("en", "UTC", "\ud800", "", "\ufffd"),
    ],
)
def test_a_text_is_of_its_visitors_language(language: str, zone: str, value: Any, filter: str, shown: str) -> None:
    class Shop(State):
        value = StateApp(object, default=lambda: None)

    with templates(), override_settings(USE_THOUSAND_SEPARATOR=True):
        definition = Shop.value.definition
        spec = text("Shop.value", filter=filter)
        from via_state.live.rendering.texts import Text
        from via_state.live.visitors.locales import localized

        who = visitor(language=language, timezone=zone)
        with localized(who.ticket):
            body = Text(spec, definition, "value", None).body(value)
    assert body == shown
    assert type(body) is str


def test_an_attribute_is_absent_without_a_value() -> None:
    class Job(State):
        done = StateApp[int | bool | None](default=None)

    to = {"@to": "value"}
    found = []
    for value in (None, False, True, 40, 0):
        Job.done.set(value)
        found.append(both(text("Job.done", to)).body)
    assert found == [None, None, "", "40", "0"]
    Job.done.set(None)
    assert both(text("Job.done")).body == ""


@pytest.mark.django_db
def test_state_of_a_visitor_has_a_name_that_does_not_say_whose_it_is() -> None:
    class Inbox(State):
        unread = StateUser(int, key="inbox.unread")
        draft = StateSess(str, key="draft.{form}")

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    Inbox(ann).unread.set(3)

    spec = text("Inbox.unread", audience="user")
    found = both(spec, visitor(ann))
    assert found.body == "3"
    assert list(found.at) == ["~user.inbox.unread"]
    assert both(spec, visitor(ben)).body == "0"
    assert both(spec, visitor()) == Content("0", {}, {})

    draft = text("Inbox.draft", {"form": 1}, "session")
    assert both(draft, visitor(sid=SID)).at == {"~session.draft.1": ABSENT}
    assert both(draft, visitor()).watched == {}


def test_a_text_of_what_is_not_declared_any_more_is_gone() -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")
        mine = StateUser(int)

    gone = [
        text("Chat.count2"),
        text("Chat.count", {"room": 1}),
        text("Chat.room"),
        text("Chat.room", {"room": 1, "other": 2}),
        text("Chat.mine"),  # it was of everybody when this was signed
        NodeSpec.of("block", "nothing.html", {}),
    ]
    for spec in gone:
        for attempt in (lambda: render(spec, visitor()), lambda: locate(spec, (), visitor())):  # noqa: B023
            with pytest.raises(Gone, match="missing"):
                attempt()
        with pytest.raises(Gone, match="missing"):
            async_to_sync(arender)(spec, visitor())


@pytest.mark.parametrize(
    "name",
    [
        "count.1",
        "via.user.7.mine",
        "via.sess.x.y",
        "~user.count",
        "~user.mine",
        "~session",
        "~@user.7.count",
        "~@",
        "",
        "~",
    ],
)
def test_t6_no_name_leads_to_state_of_somebody_else(name: str) -> None:
    class Chat(State):
        count = StateApp(int)
        mine = StateUser(int)

    with pytest.raises(Gone, match="missing"):
        locate(text("Chat.count"), [name], visitor())


def test_a_pod_that_was_chosen_is_the_one_that_is_read() -> None:
    class Chat(State):
        count = StateApp(int)

    other = Pod(MemoryBackplane({}))
    try:
        with using_pod(other):
            Chat.count.set(5)
            assert both(text("Chat.count")).body == "5"

            @live.fragment("count.html", shared=True)
            def count() -> dict[str, Any]:
                return {"count": Chat.count.read()}

            with templates(count="{{ count }}"):
                assert html("count") == "5"
    finally:
        other.close()
    assert both(text("Chat.count")).body == "0"


# Blocks -------------------------------------------------------------------------------------------------------


# Security -----------------------------------------------------------------------------------------------------


# Fragments ----------------------------------------------------------------------------------------------------


def test_f1_arguments_have_their_types_and_are_signed_as_scalars() -> None:
    seen: list[Any] = []

    @live.fragment("all.html", shared=True)
    def everything(number: int, word: str, yes: bool, id: UUID, day: date, more: int = 3) -> dict[str, Any]:
        seen[:] = [number, word, yes, id, day, more]
        return {}

    fragment = fragments.get("all.html")
    given = {"number": "7", "word": mark_safe("a"), "yes": True, "id": str(ANN), "day": "2026-05-01"}
    spec = fragment.spec(given)
    assert dict(spec.arguments) == {**given, "number": 7}
    assert all(type(value) in (int, str, bool) for _, value in spec.arguments)
    assert fragment.spec({**given, "id": ANN, "day": date(2026, 5, 1), "number": 7}) == spec
    with templates(all=""):
        render(spec, visitor())
    assert seen == [7, "a", True, ANN, date(2026, 5, 1), 3]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "'number' is missing"),
        ({"number": 1, "more": 2}, "no argument 'more'"),
        ({"number": True}, "can't be read as int"),
        ({"number": "x"}, "can't be read as int"),
        ({"number": 2**63}, "can't be read as int"),
        ({"number": None}, "NoneType"),
        ({"number": 1, "word": 7}, "can't be read as str"),
        ({"number": 1, "word": "\ud800"}, "can't be read as str"),
        ({"number": 1, "word": "x" * 1100}, "1024 bytes"),
    ],
)
def test_f1_what_is_no_argument_is_refused(given: dict[str, Any], match: str) -> None:
    @live.fragment("one.html", shared=True)
    def one(number: int, word: str = "") -> dict[str, Any]:
        return {}

    with pytest.raises(DeclarationError, match=match):
        fragments.get("one.html").spec(given)


@pytest.mark.parametrize(
    "arguments", [{}, {"number": "x"}, {"number": 1, "other": 2}, {"number": 1, "@page": "/"}, {"number": None}]
)
def test_f1_a_page_that_older_code_made_is_told_that_the_node_is_gone(arguments: dict[str, Any]) -> None:
    @live.fragment("one.html", shared=True)
    def one(number: int) -> dict[str, Any]:
        return {}

    spec = NodeSpec.of("block", "one.html", arguments)
    for attempt in (render, lambda spec, who: locate(spec, (), who)):
        with pytest.raises(Gone, match="missing"):
            attempt(spec, visitor())
    with pytest.raises(Gone, match="missing"):  # it was of each visitor when this was signed, or of everybody
        render(NodeSpec.of("block", "one.html", {"number": 1}, "visitor"), visitor())
    with pytest.raises(FragmentUnknown, match="one"):
        fragments.get("ome.html")


def test_code_is_of_the_function_and_of_all_templates() -> None:
    def declare(body: int) -> NodeSpec:
        with fragments.isolated():
            pass
        fragments._known.clear()
        if body == 1:

            @live.fragment("page.html", shared=True)
            def one() -> dict[str, Any]:
                return {"x": 1}
        else:

            @live.fragment("page.html", shared=True)
            def other() -> dict[str, Any]:
                return {"x": 2}

        return fragments.get("page.html").spec({})

    found = []
    for function, page, part, base in [
        (1, "a", "p", "b"),
        (1, "a", "p", "b"),
        (2, "a", "p", "b"),
        (1, "c", "p", "b"),
        (1, "a", "q", "b"),
        (1, "a", "p", "d"),
    ]:
        source = f"{{% extends 'base.html' %}}{{% block x %}}{page}{{% include 'part.html' %}}{{% endblock %}}"
        with templates(page=source, part=part, base=f"{base}{{% block x %}}{{% endblock %}}"):
            found.append(code_of(declare(function)))
    assert found[0] == found[1]
    assert len(set(found)) == 5
    assert all(len(code) == 12 for code in found)
    assert code_of(text("Any.thing")) == ""


@pytest.mark.django_db
def test_a_visitor_is_what_a_request_says() -> None:
    from django.test import Client

    client = Client()
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    session = client.session
    session[SESSION_KEY] = SID
    session.save()
    made = client.get("/admin/").wsgi_request
    with CaptureQueriesContext(__import__("django").db.connection) as queries:
        who = Visitor.of_request(made)
        assert who is Visitor.of_request(made)
        assert who.user == ann
    assert len(queries) == 0
    assert who.ticket.user == str(ann.pk)
    assert (who.ticket.sid, who.host, who.language) == (SID, "testserver", "en-us")
    later = Visitor.of_ticket(who.ticket, host="testserver", secure=False)
    assert later.user == ann
    assert later.build_absolute_uri("/x/") == "http://testserver/x/"
