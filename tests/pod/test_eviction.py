"""What visitors ask for and nobody wrote takes little memory, for a short while; what is watched or waited for stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board, eventually
from via_state.conf import settings
from via_state.pod.pod import Pod
from via_state.pod.reading import replicas

ROOM = Board.room.definition.spec()


def room(name: object) -> str:
    return f"tests.room.{name}"


def held(pod: Pod) -> set[str]:
    return {key for key in [*pod.replicas._logs, *pod.replicas._cells] if key.startswith("tests.")}


@pytest.fixture
def small() -> Iterator[int]:
    with override_settings(VIA_STATE={"MAX_REPLICAS": 20}):
        yield 20


async def open_rooms(pod: Pod, *names: object) -> None:
    for name in names:
        await pod.aread(room(name), ROOM)


async def test_rooms_that_nobody_wrote_leave_soon_and_others_stay(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, backplane: FaultyBackplane
) -> None:
    monkeypatch.setattr(replicas, "UNWRITTEN_TTL", 0.01)
    await Board.room.at(room="real").using(pod).aappend(Add(1))
    await open_rooms(pod, "real", "unknown")
    await Board.flag.at(name="unknown").using(pod).aread()
    await Board.numbers.using(pod).aread()
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.05}):
        pod.thread.soon(pod.reconciler.look)
        await eventually(lambda: held(pod) == {room("real"), Board.numbers.key}, "the eviction")


async def test_however_many_rooms_are_asked_for_memory_is_bounded(
    pod: Pod, small: int, backplane: FaultyBackplane
) -> None:
    for number in range(10 * small):
        await open_rooms(pod, number)
        assert len(held(pod)) <= small
    watched = pod.reconciler._wanted
    assert {key for key in watched if key.startswith("tests.")} == held(pod), "the others ring no more"


async def test_first_those_leave_that_nobody_wrote_then_those_that_were_not_used_for_longest(
    pod: Pod, small: int
) -> None:
    for number in range(12):
        await Board.room.at(room=number).using(pod).aappend(Add(number))
    await open_rooms(pod, *range(12), "a", "b", "c", "d", "e", "f", "g", "h")
    await open_rooms(pod, "a", 0)
    assert len(held(pod)) == small
    await open_rooms(pod, "new")
    assert room("b") not in held(pod)
    assert {room(number) for number in range(12)} <= held(pod), "these were written"
    for number in range(12, 30):
        await Board.room.at(room=number).using(pod).aappend(Add(number))
        await open_rooms(pod, number)
    assert room("a") not in held(pod)
    assert room(0) in held(pod)
    assert room(1) not in held(pod)


async def test_who_is_watched_or_waited_for_stays(pod: Pod, peer: Pod, small: int) -> None:
    offset = await Board.room.at(room="elsewhere").using(peer).aappend(Add(1))
    told: list[int] = []
    await pod.subscribe(room("watched"), ROOM, lambda: told.append(1))
    later = type(offset)(int(offset) + 1, offset.epoch)
    await pod.aread(room("elsewhere"), ROOM)
    waiting = asyncio.ensure_future(pod.aread(room("elsewhere"), ROOM, at_least=later))
    await eventually(lambda: bool(pod.replicas._logs[room("elsewhere")].waiters), "the waiting")
    changes: Any = pod.changes(room("followed"), ROOM)
    assert await anext(changes) == []
    await open_rooms(pod, *range(5 * small))
    assert {room("watched"), room("elsewhere"), room("followed")} <= held(pod)
    await Board.room.at(room="watched").using(peer).aappend(Add(1))
    await eventually(lambda: told, "the call")
    await Board.room.at(room="elsewhere").using(peer).aappend(Add(2))
    assert await waiting == [1, 2]
    await Board.room.at(room="followed").using(peer).aappend(Add(3))
    assert await anext(changes) == [3]
    await changes.aclose()


async def test_with_more_watched_than_there_is_room_for_each_new_key_is_still_served(pod: Pod, small: int) -> None:
    for number in range(2 * small):
        await pod.subscribe(room(number), ROOM, lambda: None)
    await open_rooms(pod, "more")
    await Board.room.at(room="more").using(pod).aappend(Add(1))
    assert await pod.aread(room("more"), ROOM) == [1]


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, None])
def test_a_bound_that_is_none_is_found_by_the_checks(value: object) -> None:
    with override_settings(VIA_STATE={"MAX_REPLICAS": value}):
        ((message, hint),) = settings.problems()
    assert "MAX_REPLICAS" in message
    assert "from 1" in hint
