"""Appends to many keys travel together, and what happens to one of them does not happen to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest
from django.test import override_settings

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Add, Board
from via_state import Offset
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import Append, Position
from via_state.exceptions import (
    AppendOutcomeUnknown,
    AppendTooLarge,
    BackplaneRefused,
    BackplaneUnavailable,
    LoopEnded,
    ViaStateError,
)
from via_state.pod.pod import Pod
from via_state.pod.writing.appender import Appender
from via_state.testing import pods

KEYS = 60


async def append_to_all(pod: Pod, numbers: Sequence[int] = (1,), keys: int = KEYS) -> list[Offset | BaseException]:
    """The numbers to each room, at once."""
    return await asyncio.gather(
        *(Board.room.at(room=room).using(pod).aappend(Add(number)) for number in numbers for room in range(keys)),
        return_exceptions=True,
    )


async def stored(pod: Pod, keys: int = KEYS) -> list[list[int]]:
    return [await Board.room.at(room=room).using(pod).aread() for room in range(keys)]


async def test_appends_to_many_keys_travel_together(pod: Pod, backplane: FaultyBackplane) -> None:
    assert await append_to_all(pod, range(5)) == [number + 1 for number in range(5) for _ in range(KEYS)]
    assert await stored(pod) == [[0, 1, 2, 3, 4]] * KEYS
    assert backplane.calls["append_many"] + backplane.calls.get("append", 0) < 30


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_train_that_fails_is_sent_again_and_lands_once(
    pod: Pod, backplane: FaultyBackplane, fault: Fault
) -> None:
    backplane.fail("append_many", fault, None, fault, fault)
    backplane.fail("append", fault, fault)
    offsets = await append_to_all(pod, range(5))
    assert all(isinstance(offset, Offset) for offset in offsets), offsets
    assert await stored(pod) == [[0, 1, 2, 3, 4]] * KEYS


async def test_an_outcome_that_stays_unknown_is_said_to_each(pod: Pod, backplane: FaultyBackplane) -> None:
    with override_settings(VIA_STATE={"APPEND_TIMEOUT": 0.3}):
        backplane.fail("append_many", Fault.LOST_ANSWER, Fault.LOST_REQUEST, *[Fault.BEFORE] * 1000)
        backplane.fail("append", *[Fault.BEFORE] * 1000)
        found = await append_to_all(pod)
    backplane.faults.clear()
    unknown = [isinstance(one, AppendOutcomeUnknown) for one in found]
    assert all(isinstance(one, AppendOutcomeUnknown | BackplaneUnavailable) for one in found)
    assert any(unknown)
    for was_unknown, values in zip(unknown, await stored(pod), strict=True):
        assert was_unknown or values == [], "nothing was written, as its caller was told"


class Choosy(MemoryBackplane):
    """``refusing``: keys for whose sake the whole train is refused. ``left``: those that are left out. ``slow``: wait
    for ``go``. ``failing``: fail, once. ``broken``: raise what they should not, after
    all was written."""

    refusing: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__({})
        self.go = asyncio.Event()
        self.sizes: list[int] = []
        self.failed = self.alone = 0
        self.once = False

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        if key in self.refusing:
            raise BackplaneRefused(f"not {key}")
        self.alone += 1
        if key in self.slow:
            await self.go.wait()
        return await super().append(key, append_id, count, data)

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        self.sizes.append(len(appends))
        keys = {one.key for one in appends}
        if keys & self.refusing:
            raise BackplaneRefused("not all of these")
        if keys & self.broken:
            await super().append_many(appends)
            raise KeyError("a fault of the adapter's")
        here = [one for one in appends if one.key not in self.left | self.failing | self.slow]
        if self.once and keys & self.left:
            self.left -= keys
        found = await super().append_many(here)
        self.alone -= len(here)  # it appends one by one
        self.failed += len(keys & self.failing)
        found |= {key: BackplaneUnavailable("not now") for key in keys & self.failing}
        self.failing = frozenset()
        return found


@pytest.fixture
def choosy() -> Iterator[tuple[Choosy, Pod]]:
    plane = Choosy()
    with pods(1, plane) as (pod,):
        yield plane, pod


async def test_a_key_that_is_refused_fails_alone(choosy: tuple[Choosy, Pod]) -> None:
    plane, pod = choosy
    plane.refusing = frozenset({Board.room.at(room=7).key})
    found = await append_to_all(pod)
    assert [number for number, one in enumerate(found) if not isinstance(one, Offset)] == [7]
    assert isinstance(found[7], BackplaneRefused)
    assert max(plane.sizes) > 1


async def test_an_error_that_a_backplane_should_not_raise_ends_one_call_only(choosy: tuple[Choosy, Pod]) -> None:
    plane, pod = choosy
    plane.broken = frozenset({Board.room.at(room=7).key})
    assert await append_to_all(pod) == [1] * KEYS
    assert await stored(pod) == [[1]] * KEYS


async def test_a_key_that_is_too_large_fails_alone(pod: Pod, backplane: FaultyBackplane) -> None:
    await append_to_all(pod)
    backplane.inner.max_append_bytes = backplane.max_append_bytes = 200
    rooms = [Board.room.at(room=room).using(pod) for room in range(20)]
    found = await asyncio.gather(
        *(room.aappend_many([Add(number)] * (50 if number == 3 else 1)) for number, room in enumerate(rooms)),
        return_exceptions=True,
    )
    assert [number for number, one in enumerate(found) if isinstance(one, BaseException)] == [3]
    assert isinstance(found[3], AppendTooLarge)


async def test_what_is_left_out_or_fails_in_a_train_lands_by_itself(choosy: tuple[Choosy, Pod]) -> None:
    plane, pod = choosy
    keys = [Board.room.at(room=room).key for room in range(KEYS)]
    plane.left, plane.failing = frozenset(keys[:5]), frozenset(keys[10:20])
    assert await append_to_all(pod, (1, 2)) == [1] * KEYS + [2] * KEYS
    assert plane.failed
    assert await stored(pod) == [[1, 2]] * KEYS


async def test_what_is_left_out_once_comes_along_with_the_next_train(choosy: tuple[Choosy, Pod]) -> None:
    """Somebody else wrote to these logs at that moment: to wait for each alone would be a statement for each."""
    plane, pod = choosy
    await append_to_all(pod, (0,))
    plane.left, plane.alone = frozenset(Board.room.at(room=room).key for room in range(5)), 0
    plane.once, before = True, len(plane.sizes)
    # On the pod's own loop all of them are in line before the first train departs.
    assert await pod.thread.acall(append_to_all(pod, (1,))) == [2] * KEYS
    assert plane.sizes[before:] == [KEYS, 5]
    assert plane.alone == 0
    assert await stored(pod) == [[0, 1]] * KEYS


async def test_a_key_that_waits_keeps_no_others_waiting(choosy: tuple[Choosy, Pod]) -> None:
    plane, pod = choosy
    plane.slow = frozenset({Board.room.at(room=0).key, Board.room.at(room=1).key, Board.room.at(room=2).key})
    slow = [asyncio.ensure_future(Board.room.at(room=room).using(pod).aappend(Add(1))) for room in range(3)]
    appender = pod._appender
    assert isinstance(appender, Appender)
    while not appender._lanes:  # they stay until they are answered
        await asyncio.sleep(0)
    others = [Board.room.at(room=room).using(pod).aappend(Add(1)) for room in range(3, KEYS)]
    assert await asyncio.wait_for(asyncio.gather(*others), 10) == [1] * (KEYS - 3)
    assert not any(one.done() for one in slow)
    pod.thread.loop.call_soon_threadsafe(plane.go.set)
    assert await asyncio.gather(*slow) == [1, 1, 1]


async def test_a_pod_that_closes_answers_all_who_wait(choosy: tuple[Choosy, Pod]) -> None:
    plane, pod = choosy
    plane.slow = frozenset(Board.room.at(room=room).key for room in range(KEYS))
    waiting = [asyncio.ensure_future(one) for one in [append_to_all(pod, range(3))]]
    appender = pod._appender
    assert isinstance(appender, Appender)
    while not appender._lanes:  # they stay until they are answered
        await asyncio.sleep(0)
    closing = asyncio.ensure_future(pod.aclose())
    pod.thread.loop.call_soon_threadsafe(plane.go.set)
    (found,) = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    await closing
    assert all(isinstance(one, Offset | ViaStateError) for one in found)


class Following(MemoryBackplane):
    """Notes at each append whether the caller of the first one was told."""

    def __init__(self) -> None:
        super().__init__({})
        self.first: Future[Position] = Future()
        self.told: list[bool] = []
        self.go = asyncio.Event()

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        self.told.append(self.first.done())
        await self.go.wait()
        return await super().append(key, append_id, count, data)


def test_what_waits_is_sent_before_the_callers_of_what_went_before_are_told() -> None:
    plane = Following()
    with pods(1, plane) as (pod,):
        appender = Appender(pod.thread, plane, lambda key, last, pack: None)
        second: Future[Position] = Future()

        async def submit() -> None:
            appender.submit("log", b"[1]", 1, plane.first)
            while not plane.told:
                await asyncio.sleep(0)
            appender.submit("log", b"[2]", 1, second)
            await asyncio.sleep(0)
            plane.go.set()

        pod.thread.call(submit())
        assert (plane.first.result(10).offset, second.result(10).offset) == (1, 2)
        assert plane.told == [False, False]


def test_callers_who_are_not_told_yet_are_told_when_the_loop_ends(pod: Pod, backplane: FaultyBackplane) -> None:
    appender, waiter, last = (
        Appender(pod.thread, backplane, lambda key, last, pack: None),
        Future[Position](),
        Position("e", 1, "r"),
    )
    appender._answers.append((waiter, last))
    appender._abandon(LoopEnded("The loop has ended."))
    assert waiter.result(0) == last
