"""Who is here, on all pods: people come, reload, sleep and go, and processes are killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import engines
from django.test import Client

from testproject.servers.waiting import wait_until
from tests.live import templates
from tests.pod.world import EVERY, World, kind_of
from via_state import Member, State, StatePresence
from via_state.core import presence as core
from via_state.exceptions import DeclarationError
from via_state.live import fragment
from via_state.pod import attendance
from via_state.pod.attendance import attendance_of
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab


class Meeting(State):
    here = StatePresence(key="tests.meeting.{room}.here")


@fragment("stage/here.html", shared=True)
def people(room: int) -> dict[str, Any]:
    return {"people": [f"{one.user}{' away' if one.away else ''}" for one in Meeting.here.at(room=room).read()]}


templates.TEMPLATES["stage/here.html"] = "<ul>{% for one in people %}<li>{{ one }}</li>{% endfor %}</ul>"
templates.TEMPLATES["meeting_page.html"] = (
    '{% extends "page.html" %}{% load via_state %}{% block body %}{% via_presence "tests.Meeting.here" room=room %}'
    '<section id="here">{% via_live "stage/here.html" room=room %}</section>{% endblock %}'
)
templates.TEMPLATES["lobby_page.html"] = (
    '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<p id="count">{% via_text "tests.Meeting.here" room=7 %}</p>{% endblock %}'
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"GATHER": 0.02, "APART": 0.02, "BEAT": 0.1, "LOOK": 0.05, "LEAVING": 0.3}.items():
        monkeypatch.setattr(attendance, name, seconds)


def client_of(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.get_or_create(username=name)[0])
    return client


def pk(name: str) -> str:
    return str(User.objects.get(username=name).pk)


def sees(tab: LiveTab, *names: str) -> None:
    """The names of who is here, in their order; "ada away"."""
    shown = []
    for name in names:
        user, *away = name.split()
        shown.append(" ".join([pk(user), *away]))
    tab.until(
        lambda: [one.text for one in tab.page.find("#here li")] == shown,
        lambda: f"not {shown}",
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("site")
class TestPages:
    def test_people_come_and_go_on_both_pods(self, pod: Pod, peer: Pod) -> None:
        ada, bob = client_of("ada"), client_of("bob")
        with live_tab(ada, "/meeting/7/", pod=pod) as here:
            sees(here, "ada")
            with live_tab(bob, "/meeting/7/", pod=peer) as there, live_tab(ada, "/meeting/7/", pod=peer) as second:
                for tab in (here, there, second):
                    sees(tab, "ada", "bob")
                (first, _) = Meeting.here.at(room=7).read()
                wait_until(lambda: Meeting.here.at(room=7).read()[0].tabs == 2, "both tabs")
                assert isinstance(first, Member)
                assert (first.id, first.user, first.away) == (pk("ada"), pk("ada"), False)
                assert Meeting.here.at(room=8).read() == ()
            sees(here, "ada")

    def test_who_loads_the_page_again_was_here_all_the_time(self, pod: Pod, peer: Pod) -> None:
        ada = client_of("ada")
        with live_tab(client_of("bob"), "/meeting/7/", pod=pod) as bob:
            with live_tab(ada, "/meeting/7/", pod=pod):
                sees(bob, "bob", "ada")
                since = [one.since for one in Meeting.here.at(room=7).read()]
            seen = len(bob.frames)
            with live_tab(ada, "/meeting/7/", pod=peer):
                sees(bob, "bob", "ada")
                wait_until(lambda: people_of(pod) == {pk("bob")}, "the first pod without her")
                assert [one.since for one in Meeting.here.at(room=7).read()] == since
                sees(bob, "bob", "ada")
                assert all("</li>" in str(one.rest) for one in bob.frames[seen:] if one.kind == "h")

    def test_who_sleeps_is_away_until_they_wake(self, pod: Pod, peer: Pod) -> None:
        with (
            live_tab(client_of("bob"), "/meeting/7/", pod=pod) as bob,
            live_tab(client_of("ada"), "/meeting/7/", pod=peer) as ada,
        ):
            sees(bob, "bob", "ada")
            ada.sleep()
            sees(bob, "bob", "ada away")
            ada.wake()
            sees(bob, "bob", "ada")
            ada.sleep()
            sees(bob, "bob", "ada away")
            ada.on(pod)  # she comes back elsewhere
            sees(bob, "bob", "ada")
            wait_until(lambda: pk("ada") not in people_of(peer), "no record of her sleep")

    def test_a_lobby_shows_how_many_there_are_and_does_not_count(self, pod: Pod, peer: Pod) -> None:
        with live_tab(Client(), "/lobby/", pod=pod) as lobby:
            assert lobby.text("#count") == "0"
            with live_tab(client_of("ada"), "/meeting/7/", pod=peer), live_tab(Client(), "/meeting/7/", pod=peer):
                lobby.sees("#count", "2")
            lobby.sees("#count", "0")

    def test_who_gets_the_token_of_a_page_that_is_not_theirs_is_not_here(self, pod: Pod) -> None:
        with (
            live_tab(client_of("ada"), "/meeting/7/", pod=pod) as ada,
            live_tab(client_of("eve"), "/meeting/8/", pod=pod) as eve,
        ):
            sees(ada, "ada")
            token = next(one.token for one in ada.nodes if one.element.attributes.get("hidden") is not None)
            eve.say(add=[[token, {}]])
            eve.until(lambda: bool(eve.refused))
            assert [one.user for one in Meeting.here.at(room=7).read()] == [pk("ada")]

    def test_what_is_no_presence_is_refused(self, pod: Pod) -> None:
        request = HttpRequest()
        template = engines["django"].from_string('{% load via_state %}{% via_presence "tests.Stage.total" %}')
        with pytest.raises(DeclarationError, match="not a StatePresence"):
            template.render(request=request)


# Processes that end -------------------------------------------------------------------------------------------


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(kind_of(request))
    yield made
    made.close()


def people_of(pod: Pod) -> set[str]:
    """Those whom a process counts itself."""
    return set(attendance_of(pod)._lists["tests.meeting.7.here"].people)


def come(pod: Pod, id: str) -> None:
    spec = Meeting.here.definition.spec()
    pod.thread.soon(attendance_of(pod).come, "tests.meeting.7.here", spec, id, id)


def at(pod: Pod) -> list[str]:
    return [one.user for one in Meeting.here.at(room=7).using(pod).read()]


def kill(pod: Pod) -> None:
    """Its beats end, and nothing says so."""

    async def end() -> None:
        await attendance_of(pod)._flight.ended()

    pod.thread.call(end())


def test_the_people_of_a_process_that_was_killed_are_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "SILENCE", 1.0)
    first, second, reader = world.start(), world.start(), world.start()
    come(first, "ada")
    come(second, "bob")
    wait_until(lambda: at(reader) == ["ada", "bob"], "both")
    kill(first)
    wait_until(lambda: at(reader) == ["bob"], "only Bob")
    wait_until(
        lambda: first.pod_id not in reader.get("tests.meeting.7.here", Meeting.here.definition.spec()), "no row"
    )
    kill(second)
    wait_until(lambda: at(reader) == [], "nobody, seen by one who has nobody")


def test_the_people_of_a_process_that_ends_stay_until_they_are_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "ENDED_SILENCE", 1.0)
    first, second = world.start(), world.start()
    come(first, "ada")
    come(second, "bob")
    wait_until(lambda: at(second) == ["ada", "bob"], "both")
    first.close()
    assert at(second) == ["ada", "bob"]
    wait_until(lambda: at(second) == ["bob"], "only Bob")


def test_a_thousand_people_cost_a_few_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "GATHER", 0.25)
    monkeypatch.setattr(attendance, "APART", 0.5)
    monkeypatch.setattr(attendance, "BEAT", 10.0)
    world = World("memory")
    try:
        pod, writes = world.start(), list[str]()
        cas = pod.backplane.cas

        async def counted(key: str, *rest: Any, **more: Any) -> Any:
            if key.startswith("tests.meeting"):
                writes.append(key)
            return await cas(key, *rest, **more)

        monkeypatch.setattr(pod.backplane, "cas", counted)
        began = time.monotonic()
        for number in range(1000):
            come(pod, f"{number:04}")
            if number % 10 == 0:
                pod.thread.call(asyncio.sleep(0.02))
        wait_until(lambda: len(at(pod)) == 1000, "all of them")
        # Each is followed by a look at what was written: that is two statements.
        assert len(writes) <= 2 + 2 * (time.monotonic() - began)
    finally:
        world.close()
