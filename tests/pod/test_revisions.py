"""A cell is waited for by its revision, and shown with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board, Fragile, eventually
from via_state.core.cells import CellCodec
from via_state.core.records import GENESIS, Position, Revision
from via_state.core.specs import CellSpec
from via_state.core.visibility import Shown
from via_state.exceptions import BackplaneUnavailable, CellUnreadable, NotCaughtUp
from via_state.pod.pod import Pod

KEY = Board.hits.key
#: What other code declares under the same key.
TEXT: CellSpec[str] = CellSpec(KEY, CellCodec(str), str)


def spec() -> CellSpec[int]:
    found: CellSpec[int] = Board.hits.definition.spec()
    return found


async def written(pod: Pod, value: int) -> Revision:
    """Set it, and say which revision that made."""
    await Board.hits.using(pod).aset(value)
    position = (await pod.ashown(KEY, spec())).position
    return Revision(position.offset, position.record_id)


async def deaf_peer(peer: Pod, backplane: FaultyBackplane) -> None:
    """It has the cell, and hears of nothing any more."""
    assert await peer.aget(KEY, spec()) == 0
    backplane.deaf = True
    peer.reconciler.look = lambda: None  # type: ignore[method-assign]
    await peer.thread.acall(peer.reconciler._flight.ended())


async def test_a_revision_that_another_pod_wrote_is_shown_without_a_doorbell(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    await deaf_peer(peer, backplane)
    revision = await written(pod, 3)
    assert await peer.aget(KEY, spec()) == 0, "the case of this test"
    assert await peer.aget(KEY, spec(), at_least=revision) == 3
    loads = backplane.calls["load_many"]
    assert await peer.aget(KEY, spec(), at_least=revision) == 3
    assert backplane.calls["load_many"] == loads, "it had that"


async def test_a_revision_is_waited_for_until_a_later_one_is_there(pod: Pod, peer: Pod) -> None:
    number = (await written(pod, 1)).number
    assert await peer.aget(KEY, spec()) == 1
    waiting = asyncio.ensure_future(peer.aget(KEY, spec(), at_least=Revision(number + 1, "of nobody")))
    await eventually(lambda: bool(copy_of(peer).waiters), "the waiting")
    await written(pod, 2)
    await peer.thread.acall(peer.replicas.settle())
    assert not waiting.done(), "another write has the number"
    await written(pod, 3)
    assert await waiting == 3


def copy_of(pod: Pod) -> Any:
    return pod.replicas._cells.get(KEY) or pytest.fail("it has no copy")


async def test_a_revision_that_is_not_there_in_time_is_said(pod: Pod, peer: Pod) -> None:
    revision = await written(pod, 1)
    with pytest.raises(NotCaughtUp, match=f"at revision {revision.number} .* reach revision 1000000"):
        await pod.aget(KEY, spec(), at_least=Revision(1_000_000, "x"), timeout=0.05)
    assert not copy_of(pod).waiters, "or it would never be evicted"


async def test_a_backplane_that_is_away_is_said_in_place_of_the_revision(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    await written(pod, 1)
    backplane.down = True
    with pytest.raises(BackplaneUnavailable, match="injected"):
        await pod.aget(KEY, spec(), at_least=Revision(1_000_000, "x"), timeout=0.2)


async def test_a_cell_that_is_gone_answers_for_all_its_revisions(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    assert await peer.aget(KEY, spec(), at_least=Revision(7, "expired")) == 0


async def test_a_revision_that_can_not_be_read_is_not_answered_by_an_older_value(pod: Pod, peer: Pod) -> None:
    assert (await written(pod, 1)).number
    await peer.areset(KEY, TEXT, force=True)
    await peer.aset(KEY, TEXT, "a text")
    at = copy_of(peer).stored
    with pytest.raises(CellUnreadable, match="does not decode"):
        await pod.aget(KEY, spec(), at_least=at)


async def test_value_and_position_are_shown_without_a_way_to_the_loop(pod: Pod) -> None:
    assert await pod.ashown(KEY, spec()) == Shown(0, GENESIS, None)
    revision = await written(pod, 5)
    shown = pod.shown(KEY, spec())  # would raise in an event loop if it had to ask another one
    assert shown == Shown(5, Position("", revision.number, revision.write_id), None)
    numbers = Board.numbers
    offset = await numbers.using(pod).aappend(Add(7))
    await pod.ashown(numbers.key, numbers.definition.spec())
    log = pod.shown(numbers.key, numbers.definition.spec())
    assert (log.value, log.position.epoch, log.position.offset) == ([7], offset.epoch, offset)


def test_what_is_not_loaded_is_loaded_before_it_is_shown(pod: Pod, peer: Pod) -> None:
    Board.hits.using(pod).set(4)
    assert peer.shown(KEY, spec()).value == 4
    Board.numbers.using(pod).append(Add(1))
    assert peer.shown(Board.numbers.key, Board.numbers.definition.spec()).value == [1]


async def test_readers_of_a_cell_are_told_that_a_later_value_can_not_be_read_and_that_it_can(
    pod: Pod, peer: Pod
) -> None:
    told: list[int] = []
    await written(pod, 1)
    await pod.subscribe(KEY, spec(), lambda: told.append(1))
    await peer.areset(KEY, TEXT, force=True)
    await eventually(lambda: copy_of(pod).shown.value == 0, "the reset")
    await peer.aset(KEY, TEXT, "a text")
    await eventually(lambda: copy_of(pod).shown.halted, "the halt")
    assert copy_of(pod).shown.value == 0
    await eventually(lambda: told, "the call")
    told.clear()
    await Board.hits.using(pod).areset(force=True)
    assert copy_of(pod).shown.halted is None
    await eventually(lambda: told, "the call")


async def test_a_halt_and_its_end_are_no_values_of_changes(pod: Pod) -> None:
    fragile = Board.fragile.using(pod)
    await fragile.aappend(Fragile(1))
    values = fragile.changes()
    assert await anext(values) == 1
    following = asyncio.ensure_future(anext(values))
    told: list[int] = []
    await pod.subscribe(Board.fragile.key, Board.fragile.definition.spec(), lambda: told.append(1))
    await fragile.aappend(Fragile(-1), wait=False)
    await eventually(lambda: told, "the halt")
    await asyncio.sleep(0)
    assert not following.done()
    following.cancel()
    await asyncio.wait([following])
    await values.aclose()
