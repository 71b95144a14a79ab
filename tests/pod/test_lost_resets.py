"""Answers that are lost around a reset: nothing counts twice, and nothing acknowledged goes with what is done again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Board, eventually
from tests.pod.world import EVERY, World, kind_of, world_of
from via_state.exceptions import SessionEnded
from via_state.pod.pod import Pod

#: The judgement is the pod's own: most of it is tried over memory alone.
everywhere = pytest.mark.parametrize("world", EVERY, indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(kind_of(request)) as made:
        yield made


class Pair:
    """Two pods over one store. Calls of the first can go wrong."""

    def __init__(self, world: World) -> None:
        self.plane = world.plane
        self.ours = world.start()
        world.plane = FaultyBackplane(world.inner)
        self.theirs = world.start()

    @asynccontextmanager
    async def lost(
        self, fault: Fault, call: Callable[[], Awaitable[object]]
    ) -> AsyncIterator[asyncio.Future[object]]:
        """``call()`` by the first pod, which does not get to look what became of it before the block ends."""
        self.plane.fail("cas", fault)
        self.plane.breaks = True
        done = asyncio.ensure_future(call())
        await eventually(lambda: self.plane.down, "the write")
        yield done
        self.plane.down = self.plane.breaks = False
        await asyncio.wait_for(done, 30)


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)


def both(pair: Pair) -> tuple[Pod, Pod]:
    return pair.ours, pair.theirs


async def agreed(pair: Pair) -> int:
    """What the store has, by an update of each pod that changes nothing."""
    values = [await Board.hits.using(pod).aupdate(lambda value: value) for pod in both(pair)]
    assert values[0] == values[1]
    return values[0]


@everywhere
@pytest.mark.parametrize(("before", "after"), [(None, 10), (5, None)])
async def test_an_update_that_was_reset_before_its_answer_came_is_not_done_again(
    pair: Pair, before: int | None, after: int | None
) -> None:
    ours, theirs = (Board.hits.using(pod) for pod in both(pair))
    if before is not None:
        await ours.aset(before)
    assert await ours.aread() == (before or 0)
    async with pair.lost(Fault.LOST_ANSWER, lambda: ours.aupdate(lambda old: old + 1)) as update:
        await theirs.areset()
        if after is not None:
            await theirs.aset(after)
    assert update.result() == (before or 0) + 1
    assert await agreed(pair) == (after or 0)


@pytest.mark.parametrize("before", [None, 5])
async def test_an_update_that_never_arrived_is_done_after_a_reset(pair: Pair, before: int | None) -> None:
    ours, theirs = (Board.hits.using(pod) for pod in both(pair))
    await theirs.aset(before or 3)
    if before is None:
        await theirs.areset()
    assert await ours.aupdate(lambda old: old) == (before or 0)
    async with pair.lost(Fault.LOST_REQUEST, lambda: ours.aupdate(lambda old: old + 1)) as update:
        await theirs.areset()
        await theirs.aset(10)
        await theirs.areset()
        await theirs.aset(20)
    assert update.result() == 21
    assert await agreed(pair) == 21


@everywhere
async def test_a_reset_whose_answer_was_lost_takes_no_later_update_with_it(pair: Pair) -> None:
    ours, theirs = (Board.hits.using(pod) for pod in both(pair))
    await ours.aset(5)
    async with pair.lost(Fault.LOST_ANSWER, ours.areset):
        assert await theirs.aupdate(lambda old: old + 1) == 1
    assert await agreed(pair) == 1


async def test_a_reset_that_never_arrived_is_done(pair: Pair) -> None:
    ours = Board.hits.using(pair.ours)
    await ours.aset(5)
    async with pair.lost(Fault.LOST_REQUEST, ours.areset):
        pass
    assert await agreed(pair) == 0


async def test_a_sync_reset_looks_too(pair: Pair) -> None:
    ours, theirs = (Board.hits.using(pod) for pod in both(pair))
    await ours.aset(5)
    async with pair.lost(Fault.LOST_ANSWER, lambda: asyncio.to_thread(ours.reset)):
        await theirs.aset(7)
    assert await agreed(pair) == 7


async def test_an_update_before_a_logout_counts_although_its_answer_came_after_it(pair: Pair) -> None:
    spec = Board.hits.definition.spec()
    ours = Board.hits.using(pair.ours)
    await ours.aset(5)
    async with pair.lost(Fault.LOST_ANSWER, lambda: ours.aupdate(lambda old: old + 1)) as update:
        await pair.theirs.aend(Board.hits.key, spec)
    assert update.result() == 6
    with pytest.raises(SessionEnded):
        await ours.aupdate(lambda old: old + 1)
    await ours.areset()
    with pytest.raises(SessionEnded):  # a reset brings nothing back
        await ours.aset(7)
