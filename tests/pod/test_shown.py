"""What readers are shown is of one moment, and they are told of every move: of the value, the position, a halt and its end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults import FaultyBackplane
from tests.pod.board import Board, Fragile, eventually, healed
from via_state import State, StateAppEvents
from via_state.core.records import GENESIS
from via_state.pod.pod import Pod
from via_state.pod.reading.projector import HALTED_RETRY, Projector

LOOKS = 1_000_000


@dataclass(frozen=True, slots=True)
class InPlace:
    """Its fold changes the value that it was given, against the rule."""

    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        numbers.append(self.number)
        return numbers


@dataclass(frozen=True, slots=True)
class Tick:
    def fold(self, total: int) -> int:
        return total + 1


class Moves(State):
    ticks = StateAppEvents(Tick, key="tests.moves.ticks")
    careless = StateAppEvents(InPlace, key="tests.moves.careless")


async def projector_of(pod: Pod, declared: Any) -> Projector[Any]:
    return await pod.thread.acall(pod._log(declared.key, declared.definition.spec()))


@contextmanager
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def test_a_thread_that_looks_a_million_times_never_sees_a_position_without_its_value(pod: Pod) -> None:
    ticks = Moves.ticks.using(pod)
    await ticks.aappend(Tick())
    projector = await projector_of(pod, Moves.ticks)
    torn, moves = [], set()
    over = threading.Event()

    def look() -> None:
        for _ in range(LOOKS):
            value, position, _ = projector.shown
            if value != position.offset:
                torn.append((value, position))
            moves.add(value)
        over.set()

    with hasty_threads():
        looking = threading.Thread(target=look)
        looking.start()
        while not over.is_set():
            await ticks.aappend_many([Tick()] * 50)
        looking.join(60)
    assert not torn
    assert len(moves) > 10, "the value moved while it was looked at"


class Told:
    """Counts what one subscriber is told."""

    def __init__(self) -> None:
        self.calls = 0

    async def subscribe(self, pod: Pod, declared: Any) -> None:
        await declared.using(pod).aread()
        await pod.subscribe(declared.key, declared.definition.spec(), self)

    def __call__(self) -> None:
        self.calls += 1


async def test_a_fold_that_changes_its_value_in_place_tells_readers_all_the_same(pod: Pod) -> None:
    told = Told()
    await told.subscribe(pod, Moves.careless)
    for number in range(3):
        await Moves.careless.using(pod).aappend(InPlace(number))
        await eventually(lambda calls=number + 1: told.calls == calls, "the call")  # type: ignore[misc]


async def test_a_log_that_begins_again_with_an_equal_value_tells_readers_of_its_epoch(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    await Moves.ticks.using(peer).aappend(Tick())
    told = Told()
    await told.subscribe(pod, Moves.ticks)
    projector = await projector_of(pod, Moves.ticks)
    before = projector.shown
    backplane.deaf = True
    await pod.thread.acall(backplane.drop(Moves.ticks.key))
    await pod.thread.acall(
        backplane.append(Moves.ticks.key, "1" * 32, 1, Moves.ticks.definition.spec().events.encode([Tick()]))
    )
    backplane.deaf = False
    pod.thread.soon(projector.ring)
    await eventually(lambda: told.calls, "the call")
    assert projector.shown.value == before.value
    assert projector.shown.position.epoch != before.position.epoch


async def test_a_halt_and_its_end_are_told_beside_the_last_good_value(pod: Pod) -> None:
    told = Told()
    fragile = Board.fragile.using(pod)
    await fragile.aappend(Fragile(1))
    await told.subscribe(pod, Board.fragile)
    projector = await projector_of(pod, Board.fragile)
    assert projector.shown.halted is None
    await fragile.aappend(Fragile(-1), wait=False)
    await eventually(lambda: told.calls == 1, "the halt")
    assert projector.shown.value == 1
    assert "a negative number" in str(projector.shown.halted)
    pod.thread.soon(projector.ring)  # halted for the same reason: no news
    await pod.thread.acall(pod.replicas.settle())
    await asyncio.sleep(0)
    assert told.calls == 1
    healed.append(True)
    pod.thread.soon(projector.ring)
    await eventually(lambda: told.calls == 2, "its end")
    assert projector.shown[::2] == (0, None)
    assert HALTED_RETRY > 1, "or it would be told by itself"


async def test_a_log_that_can_not_be_folded_again_keeps_its_value_and_position_and_says_so(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    told = Told()
    fragile = Board.fragile.using(pod)
    await fragile.aappend_many([Fragile(1), Fragile(2)])
    await told.subscribe(pod, Board.fragile)
    projector = await projector_of(pod, Board.fragile)
    before = projector.shown
    backplane.deaf = True
    await pod.thread.acall(backplane.drop(Board.fragile.key))
    await pod.thread.acall(
        backplane.append(
            Board.fragile.key, "2" * 32, 1, Board.fragile.definition.spec().events.encode([Fragile(-1)])
        )
    )
    backplane.deaf = False
    pod.thread.soon(projector.ring)
    await eventually(lambda: projector.shown.halted is not None, "the halt")
    await eventually(lambda: told.calls, "the call")
    assert projector.position == GENESIS
    assert projector.shown[:2] == before[:2]
