"""No render has anything of another visitor, runs for ever, or writes what is not escaped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.live.pieces import declaring, templates, visitor
from tests.live.renders import both, html
from via_state import State, StateApp, StateSess, StateUser, live
from via_state.conf import DEFAULTS
from via_state.exceptions import (
    NotFollowed,
    SharedFragmentIsPersonal,
)
from via_state.live.rendering import renderer
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import apermitted, arender, locate, render
from via_state.pod.pod import Pod
from via_state.testing import memory_pod

ANN = UUID("12345678-1234-5678-1234-567812345678")
SID = "sid-of-this-session"


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with declaring(), memory_pod() as pod:
        yield pod


@pytest.mark.parametrize("name", ["request.path", "user", "user.pk", "perms.auth", "messages", "csrf_token"])
@pytest.mark.parametrize(
    "source", ["{{{{ {0} }}}}", "{{% if {0} == 1 %}}{{% endif %}}", "{{% include 'part.html' %}}"]
)
def test_f2_a_shared_render_that_is_personal_fails_loudly(name: str, source: str) -> None:
    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {}

    with templates(table=source.format(name), part=f"{{{{ {name} }}}}"):
        for attempt in (render, cast(Any, async_to_sync(arender))):
            with pytest.raises(SharedFragmentIsPersonal, match=repr(name.partition(".")[0])):
                attempt(fragments.get("table.html").spec({}), visitor())


def test_f2_a_shared_render_has_no_csrf_token() -> None:
    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {}

    with templates(table="{% csrf_token %}"), pytest.raises(SharedFragmentIsPersonal, match="csrf_token"):
        render(fragments.get("table.html").spec({}), visitor())


@pytest.mark.django_db(transaction=True)
def test_f2_a_shared_render_that_reads_state_of_somebody_fails_loudly() -> None:
    class Inbox(State):
        unread = StateUser(int)

    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {"unread": Inbox(ann).unread.read()}

    ann = User.objects.create_user("ann")
    with templates(table=""), pytest.raises(SharedFragmentIsPersonal, match="unread"):
        render(fragments.get("table.html").spec({}), visitor(ann))


@pytest.mark.django_db(transaction=True)
def test_f2_renders_of_two_visitors_at_once_never_mix() -> None:
    class Inbox(State):
        name = StateUser(str)

    @live.fragment("me.html")
    def me(visitor: live.Visitor) -> dict[str, Any]:
        return {"name": Inbox(visitor).name.read()}

    users = [User.objects.create_user(f"user{number}") for number in range(4)]
    for user in users:
        Inbox(user).name.set(user.username)

    async def all_at_once() -> list[str | None]:
        wanted = [arender(spec, visitor(user)) for _ in range(20) for user in users]
        return [found.body for found in await asyncio.gather(*wanted)]

    with templates(
        me="{{ user.username }} {% get_current_language as l %}{{ name }}".replace(
            "{% get", "{% load i18n %}{% get"
        )
    ):
        spec = fragments.get("me.html").spec({})
        found = asyncio.run(all_at_once())
    assert found == [f"{user.username} {user.username}" for _ in range(20) for user in users]


@pytest.mark.django_db(transaction=True)
def test_state_of_another_user_is_followed_where_its_name_tells_no_more_than_a_number() -> None:
    class Profile(State):
        name = StateUser(str, key="profile.name")
        note = StateSess(str)

    @live.fragment("who.html")
    def who(visitor: live.Visitor, user: int) -> dict[str, Any]:
        return {"name": Profile(User.objects.get(pk=user)).name.read()}

    @live.fragment("note.html")
    def note(visitor: live.Visitor) -> dict[str, Any]:
        from via_state.declarations.owners import KnownOwner

        bound = Profile(visitor)
        bound._owner = KnownOwner("x" * 22, visitor.user)
        return {"name": bound.note.read()}

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    Profile(ben).name.set("Ben")
    with templates(who="{{ name }}", note=""):
        spec = fragments.get("who.html").spec({"user": ben.pk})
        found = render(spec, visitor(ann))
        assert found.body == "Ben"
        assert list(found.at) == [f"~@user.{ben.pk}.profile.name"]
        assert locate(spec, found.at, visitor(ann))[next(iter(found.at))].key == f"via.user.{ben.pk}.profile.name"
        with pytest.raises(NotFollowed, match="another session"):
            render(fragments.get("note.html").spec({}), visitor(ann))


def test_f3_what_one_block_reads_is_bounded() -> None:
    class Chat(State):
        room = StateApp(int, key="room.{room}")

    @live.fragment("rooms.html", shared=True)
    def rooms(count: int) -> dict[str, Any]:
        return {"sum": sum(Chat.room.at(room=number).read() for number in range(count))}

    with templates(rooms="{{ sum }}"):
        assert len(both(fragments.get("rooms.html").spec({"count": 64})).at) == 64
        with pytest.raises(NotFollowed, match="64 keys"):
            render(fragments.get("rooms.html").spec({"count": 65}), visitor())


def test_f3_a_render_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    @live.fragment("slow.html", shared=True)
    def slow() -> dict[str, Any]:
        released.wait(60)
        return {}

    @live.fragment("never.html", shared=True)
    async def never() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    monkeypatch.setattr(renderer, "MOST_SECONDS", 0.05)
    with templates(slow="", never=""):
        for name in ("slow", "never"):
            with pytest.raises(TimeoutError, match=name):
                async_to_sync(arender)(fragments.get(f"{name}.html").spec({}), visitor())
    released.set()


@pytest.mark.parametrize("where", ["function", "allow"])
def test_f3_what_never_returns_costs_a_thread_and_no_other_render(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """More of them than there are threads, one after the other; then what runs on ends, and its threads with it."""
    released = threading.Event()

    def waits(*_: object) -> dict[str, Any]:
        released.wait(60)
        return {}

    @live.fragment("slow.html", shared=True, allow=waits if where == "allow" else None)
    def slow() -> dict[str, Any]:
        return {} if where == "allow" else waits()

    @live.fragment("quick.html", shared=True)
    def quick() -> dict[str, Any]:
        return {}

    monkeypatch.setitem(DEFAULTS, "LIVE_RENDERERS", 2)
    with templates(slow="", quick="here"):
        slow_spec, quick_spec = (fragments.get(f"{name}.html").spec({}) for name in ("slow", "quick"))
        ask = apermitted if where == "allow" else arender
        monkeypatch.setattr(renderer, "MOST_SECONDS", 0.05)
        for _ in range(5):
            with pytest.raises(TimeoutError, match="slow"):
                async_to_sync(ask)(slow_spec, visitor())
        monkeypatch.setattr(renderer, "MOST_SECONDS", 20.0)
        assert async_to_sync(arender)(quick_spec, visitor()).body == "here"
    threads = renderer._threads
    assert threads is not None
    assert threads._left == 5
    released.set()
    wait_until(lambda: threads._left == 0, "their end")


def test_f3_a_render_leaves_language_and_time_zone_as_they_were() -> None:
    from django.utils import timezone, translation

    class Chat(State):
        count = StateApp(int)

    @live.fragment("de.html", shared=True)
    def de() -> dict[str, Any]:
        return {"found": (translation.get_language(), timezone.get_current_timezone_name())}

    who = visitor(language="de", timezone="Europe/Berlin")
    with templates(de="{{ found.0 }} {{ found.1 }}"):
        assert html("de", {}, who) == "de Europe/Berlin"
    assert (translation.get_language(), timezone.get_current_timezone_name()) == ("en-us", "UTC")


@pytest.mark.parametrize("minutes", [None, 0, 330, -90])
def test_a_time_zone_has_a_name_that_brings_it_back(minutes: int | None) -> None:
    from django.utils import timezone

    from via_state.live.visitors.locales import name_of_zone, zone_of

    zone = ZoneInfo("Asia/Kolkata") if minutes is None else timezone.get_fixed_timezone(minutes)
    assert zone_of(name_of_zone(zone)) == zone
    for unknown in ("", "No/Where", "../etc/passwd", "+x"):
        assert zone_of(unknown) == timezone.get_default_timezone()


def test_f4_a_template_that_does_not_escape_is_refused() -> None:
    from django.core.exceptions import ImproperlyConfigured

    @live.fragment("raw.html", shared=True)
    def raw() -> dict[str, Any]:
        return {}

    backend = "django.template.backends.django.DjangoTemplates"
    loaders = [("django.template.loaders.locmem.Loader", {"raw.html": "x"})]
    engine = {"BACKEND": backend, "OPTIONS": {"autoescape": False, "loaders": loaders}}
    with override_settings(TEMPLATES=[engine]), pytest.raises(ImproperlyConfigured, match="autoescape"):
        render(fragments.get("raw.html").spec({}), visitor())
