"""A long log is read in the backplane's own batches, the next one while one is folded, by few projections at a time; folds share the loop by time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Add, Board, eventually
from via_state.core.projection import Projection
from via_state.pod.pod import Pod
from via_state.pod.reading import batches
from via_state.pod.reading.batches import Pace, Replays

ROOM = Board.room.definition.spec()


class Reads:
    """The reads of a backplane: their limits, and how many were under way at once."""

    def __init__(self, plane: FaultyBackplane) -> None:
        self.limits: list[int] = []
        self.now = self.most = 0
        self._read = plane.read
        plane.read = self.read  # type: ignore[assignment, method-assign]

    async def read(self, key: str, after: Any, limit: int) -> Any:
        self.limits.append(limit)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await self._read(key, after, limit)
        finally:
            self.now -= 1


async def fill(peer: Pod, number: int, room: object = 1) -> None:
    """So many records in packs of ten."""
    for first in range(0, number, 10):
        await peer.aappend(f"tests.room.{room}", ROOM, [Add(one) for one in range(first, first + 10)], wait=False)


async def test_a_long_log_is_read_in_large_batches_and_the_next_one_while_one_is_folded(
    pod: Pod, peer: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FIRST_READ", 50)
    await fill(peer, 300)
    backplane.batch_records = 80
    reads = Reads(backplane)
    ahead: list[int] = []
    feed = Projection.feed

    def noted(self: Projection[Any], batch: Any, after: Any) -> Any:
        ahead.append(reads.now)
        return feed(self, batch, after)

    monkeypatch.setattr(Projection, "feed", noted)
    assert await pod.aread("tests.room.1", ROOM) == list(range(300))
    assert [limit for limit in reads.limits if limit > 1][:3] == [50, 80, 80]
    assert sum(ahead) > 0, "the next batch is under way while one is folded"
    assert pod.replicas._replays._free == batches.REPLAYS, "its place is free again"


async def test_a_short_log_is_read_once(pod: Pod, peer: Pod, backplane: FaultyBackplane) -> None:
    await fill(peer, 20)
    reads = Reads(backplane)
    await pod.aread("tests.room.1", ROOM)
    assert reads.limits[0] == batches.FIRST_READ
    assert reads.most == 1


async def test_few_read_ahead_at_the_same_time_and_all_arrive(
    pod: Pod, peer: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "REPLAY_SECONDS", 0.0)
    monkeypatch.setattr(batches, "FIRST_READ", 20)
    for room in range(8):
        await fill(peer, 200, room)
    backplane.batch_records = 30
    pod.replicas._replays._free = 1
    large: list[int] = []
    begin = Replays.begin

    def noted(self: Replays) -> bool:
        found = begin(self)
        large.append(self._free)
        return found

    monkeypatch.setattr(Replays, "begin", noted)
    values = await asyncio.gather(*(pod.aread(f"tests.room.{room}", ROOM) for room in range(8)))
    assert values == [list(range(200))] * 8
    assert min(large) == 0
    assert pod.replicas._replays._free == 1


async def test_a_batch_that_fails_ahead_is_asked_for_again(
    pod: Pod, peer: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FIRST_READ", 50)
    await fill(peer, 300)
    backplane.batch_records = 80
    backplane.fail("read", None, Fault.BEFORE, None, Fault.BEFORE)
    assert await pod.aread("tests.room.1", ROOM) == list(range(300))
    await eventually(lambda: pod.replicas._replays._free == batches.REPLAYS, "the end of the way")


def test_a_part_takes_about_the_time_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    pace, sizes = Pace(), []
    for _ in range(6):
        pace.begin()
        now += pace.records * batches.TURN / 10_000  # ten thousand in a turn
        pace.end()
        sizes.append(pace.records)
    assert sizes[:2] == [4000, 10_000]
    for _ in range(3):
        pace.begin()
        now += pace.records * batches.TURN  # slow ones: one in a turn
        pace.end()
    assert pace.records == 1
