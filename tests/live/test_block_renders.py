"""Renders of blocks: what a function gives, what it reads, and who may see it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404

from tests.live.pieces import Said, declaring, templates, visitor
from tests.live.renders import both, text
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser, live
from via_state.exceptions import (
    NotInLiveBlock,
    SyncVerbInEventLoop,
)
from via_state.live.protocol.content import Content, Gone
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import apermitted, arender, group_of, locate, permitted, render
from via_state.pod.pod import Pod
from via_state.testing import memory_pod

ANN = UUID("12345678-1234-5678-1234-567812345678")
SID = "sid-of-this-session"


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with declaring(), memory_pod() as pod:
        yield pod


def test_a_block_shows_what_its_function_gives_and_names_what_it_read() -> None:
    class Chat(State):
        room = StateAppEvents(Said, key="room.{room}")

    @live.fragment("room.html", shared=True)
    def room(room: int) -> dict[str, Any]:
        return {"lines": Chat.room.at(room=room).read(), "again": Chat.room.at(room=room).read()}

    Chat.room.at(room=7).append(Said("<b>"))
    with templates(room="{% for line in lines %}<p>{{ line }}</p>{% endfor %}"):
        spec = fragments.get("room.html").spec({"room": "7"})
        found = both(spec)
    assert found.body == "<p>&lt;b&gt;</p>"
    assert found.at["room.7"].offset == 1
    assert group_of(spec, visitor(language="de")) == (spec.id, "", "de", "UTC")


@pytest.mark.django_db(transaction=True)
def test_a_visitors_block_is_theirs() -> None:
    class Inbox(State):
        unread = StateUser(int)
        draft = StateSess(str)

    @live.fragment("inbox.html")
    def inbox(visitor: live.Visitor) -> dict[str, Any]:
        mine = Inbox(visitor)
        return {"unread": mine.unread.read(), "draft": mine.draft.read()}

    ann = User.objects.create_user("ann")
    ben = User.objects.create_user("ben")
    Inbox(ann).unread.set(2)
    source = "{{ user.username }} {{ request.user.pk }} {{ perms.auth }} {{ messages }} {{ unread }} {{ draft }}{% csrf_token %}"
    with templates(inbox=source):
        spec = fragments.get("inbox.html").spec({})
        found = render(spec, visitor(ann, sid=SID))
        assert found.body is not None
        assert found.body.startswith(f"ann {ann.pk} ")
        assert '<input type="hidden" name="csrfmiddlewaretoken" value="via-csrf">' in found.body
        assert set(found.at) == {"~user.unread", "~session.draft"}
        located = locate(spec, found.at, visitor(ann, sid=SID))
        assert {name: one.key for name, one in located.items()} == {
            name: one.key for name, one in found.watched.items()
        }
        assert "ann" not in str(render(spec, visitor(ben)).body)
        assert str(render(spec, visitor()).body).startswith(" None ")
    assert (
        len({group_of(spec, one) for one in (visitor(ann), visitor(ben), visitor(), visitor(ann, sid=SID))}) == 4
    )
    assert group_of(spec, visitor()) == group_of(spec, visitor())


@pytest.mark.django_db(transaction=True)
def test_an_async_function_runs_on_the_loop_and_its_template_on_a_thread() -> None:
    class Chat(State):
        count = StateApp(int)

    ran: list[threading.Thread] = []

    class Noting:
        def __str__(self) -> str:
            ran.append(threading.current_thread())
            return "!"

    @live.fragment("count.html")
    async def count(visitor: live.Visitor, start: int = 1) -> dict[str, Any]:
        ran.append(threading.current_thread())
        user = await visitor.auser()
        return {"count": start + await Chat.count.aread(), "noting": Noting(), "name": user.username}

    async def on_a_loop() -> Content:
        return await arender(spec, visitor(ann))

    ann = User.objects.create_user("ann")
    Chat.count.set(4)
    with templates(count="{{ name }} {{ count }}{{ noting }}"):
        spec = fragments.get("count.html").spec({"start": 2})
        found = asyncio.run(on_a_loop())
        assert (found.body, list(found.at)) == ("ann 6!", ["count"])
        assert ran[0] is threading.current_thread()
        assert ran[1].daemon
        assert ran[1].name.startswith("via-state-render")
        assert render(spec, visitor(ann)).body == "ann 6!"


async def test_a_page_in_an_event_loop_says_what_to_write_where_it_has_to_wait() -> None:
    class Chat(State):
        count = StateApp(int)

    @live.fragment("count.html")
    async def count(visitor: live.Visitor) -> dict[str, Any]:
        return {"count": await Chat.count.aread()}

    @live.fragment("plain.html", shared=True)
    def plain() -> dict[str, Any]:
        return {"count": Chat.count.read()}

    await Chat.count.aset(3)
    with templates(count="{{ count }}", plain="{{ count }}"):
        assert render(fragments.get("plain.html").spec({}), visitor()).body == "3"
        spec = fragments.get("count.html").spec({})
        with pytest.raises(SyncVerbInEventLoop, match=r"await sync_to_async\(render\)"):
            render(spec, visitor())
        assert (await sync_to_async(render)(spec, visitor())).body == "3"


def test_what_a_function_says_of_its_visitor_ends_the_node() -> None:
    errors: dict[str, Exception] = {
        "denied": PermissionDenied(),
        "missing": Http404(),
        "lost": User.DoesNotExist(),
    }

    @live.fragment("room.html")
    def room(visitor: live.Visitor, why: str) -> dict[str, Any]:
        raise errors[why]

    with templates(room=""):
        for why in errors:
            spec = fragments.get("room.html").spec({"why": why})
            for attempt in (lambda: render(spec, visitor()), lambda: async_to_sync(arender)(spec, visitor())):  # noqa: B023
                with pytest.raises(Gone) as caught:
                    attempt()  # type: ignore[no-untyped-call]
                assert caught.value.why == ("denied" if why == "denied" else "missing")


def test_f5_another_error_reaches_the_caller_and_nobody_else() -> None:
    @live.fragment("room.html", shared=True)
    def room() -> dict[str, Any]:
        raise RuntimeError("a path, or SQL")

    with templates(room=""):
        spec = fragments.get("room.html").spec({})
        with pytest.raises(RuntimeError):
            render(spec, visitor())
        with pytest.raises(RuntimeError):
            async_to_sync(arender)(spec, visitor())


@pytest.mark.django_db(transaction=True)
def test_t5_who_may_see_it_is_asked_at_every_render() -> None:
    def staff(user: Any, **arguments: Any) -> bool:
        return bool(user.is_staff)

    async def astaff(user: Any, **arguments: Any) -> bool:
        return bool(user.is_staff)

    @live.fragment("orders.html", shared=True, allow=staff)
    def orders() -> dict[str, Any]:
        return {}

    @live.fragment("mine.html", allow=astaff)
    def mine(visitor: live.Visitor) -> dict[str, Any]:
        return {"name": visitor.user.username}

    ann = User.objects.create_user("ann", is_staff=True)
    with templates(orders="all", mine="{{ name }}"):
        who = visitor(ann)
        specs = [fragments.get("orders.html").spec({}), fragments.get("mine.html").spec({})]
        assert [permitted(spec, who) for spec in specs] == [True, True]
        assert [async_to_sync(apermitted)(spec, who) for spec in specs] == [True, True]
        assert render(specs[1], who).body == "ann"

        User.objects.update(is_staff=False)
        assert [permitted(spec, who) for spec in specs] == [False, False]
        assert [async_to_sync(apermitted)(spec, who) for spec in specs] == [False, False]
        with pytest.raises(Gone, match="denied"):
            render(specs[1], who)
        with pytest.raises(Gone, match="denied"):
            async_to_sync(arender)(specs[1], who)
        assert permitted(text("Any.thing"), who)


@pytest.mark.django_db
def test_t3_a_user_counts_until_they_are_signed_out() -> None:
    ann = User.objects.create_user("ann", password="one")
    who = visitor(ann)
    assert who.user == ann

    User.objects.update(is_active=False)
    assert not who.again().user.is_authenticated
    User.objects.update(is_active=True)
    assert who.again().user == ann

    ann.set_password("two")
    ann.save()
    assert not who.again().user.is_authenticated
    ann.delete()
    assert not who.again().user.is_authenticated


@pytest.mark.django_db
def test_a_visitor_costs_one_query_and_none_where_nobody_asks(django_assert_num_queries: Any) -> None:
    class Inbox(State):
        unread = StateUser(int)

    who = visitor(User.objects.create_user("ann"), sid=SID)
    spec = text("Inbox.unread", audience="user")
    with django_assert_num_queries(0):
        found = render(spec, who)
        locate(spec, found.at, who)
        group_of(spec, who)
    with django_assert_num_queries(1):
        assert who.user.username == who.user.username == "ann"


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda one: one.session, "StateSess"),
        (lambda one: one.COOKIES, "outside"),
        (lambda one: one.headers, "outside"),
        (lambda one: one.path, "by_page"),
        (lambda one: one.GET, "by_page"),
        (lambda one: one.get_full_path(), "by_page"),
    ],
)
def test_a_visitor_has_nothing_that_a_page_can_not_follow(use: Any, hint: str) -> None:
    with pytest.raises(NotInLiveBlock, match=hint):
        use(visitor())


def test_a_template_that_asks_for_the_session_fails_loudly() -> None:
    @live.fragment("room.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(room="{{ request.session.name }}"), pytest.raises(NotInLiveBlock, match="StateSess"):
        render(fragments.get("room.html").spec({}), visitor())


def test_with_by_page_a_block_knows_its_page() -> None:
    @live.fragment("nav.html", by_page=True)
    def nav(visitor: live.Visitor) -> dict[str, Any]:
        return {"q": visitor.GET.get("q"), "path": visitor.path}

    with templates(nav="{{ path }} {{ q }} {{ request.get_full_path }}"):
        fragment = fragments.get("nav.html")
        one, other = fragment.spec({}, page="/a/?q=1"), fragment.spec({}, page="/b/")
        assert both(one).body == "/a/ 1 /a/?q=1"
        assert both(other).body == "/b/ None /b/"
    assert one.id != other.id
