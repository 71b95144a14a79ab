"""Whose turn it is to be snapshotted, and compacted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import override_settings

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Add, Board, eventually
from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest
from via_state.core.records import Position
from via_state.core.specs import LogSpec
from via_state.pod.pod import Pod
from via_state.testing import pods

FIRST = Position("epoch", 1, "id-0")


@dataclass(eq=False)
class Folded:
    """What a projector is to the snapshotter."""

    key: str
    snapshot_at: float = 0.0
    spec: LogSpec[Any] = field(default_factory=lambda: Board.numbers.definition.spec())
    answers: list[SaveResult] = field(default_factory=list)
    position: Position = FIRST

    def request(self) -> SnapshotRequest | None:
        return SnapshotRequest(self.key, self.spec, [1], self.position)

    def snapshot_taken(self, request: SnapshotRequest, answer: SaveResult) -> None:
        self.answers.append(answer)

    def ring(self) -> None:
        raise AssertionError("the log holds its record")


async def test_a_key_whose_turn_is_far_delays_no_other(pod: Pod) -> None:
    position = await pod.thread.acall(pod.backplane.append("now", "0" * 32, 1, b"[]"))
    later, now = Folded("later", snapshot_at=time.monotonic() + 3600), Folded("now", position=position)

    async def both() -> None:
        pod.snapshots.due(later)
        await asyncio.sleep(0)  # it waits by now
        pod.snapshots.due(now)
        await eventually(lambda: now.answers, "the snapshot of the other key")

    await pod.thread.acall(both())
    assert not later.answers
    pod.thread.soon(pod.snapshots.forget, later)


@pytest.fixture
def compacting(backplane: FaultyBackplane) -> Iterator[Pod]:
    with override_settings(VIA_STATE={"SNAPSHOT_INTERVAL": 1, "COMPACT_MIN_AGE": 0}), pods(1, backplane) as (pod,):
        yield pod


async def test_a_compaction_that_fails_is_done_later_and_delays_no_snapshot(
    compacting: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("via_state.pod.snapshots.snapshotter.PAUSE", 0.0)
    backplane.fail("compact", *[Fault.BEFORE] * 3)
    numbers = Board.numbers.using(compacting)
    await numbers.aread()
    for number in range(4):
        last = await numbers.aappend(Add(number))
        await numbers.aread(at_least=last)
        load = compacting.snapshots.store.load
        deadline = time.monotonic() + 10
        while [int(last)] != [
            one.position.offset for one in await compacting.thread.acall(load(numbers.key, last.epoch))
        ]:
            assert time.monotonic() < deadline, "the snapshot was delayed"
            await asyncio.sleep(0.002)
    deadline = time.monotonic() + 10
    while (await compacting.thread.acall(backplane.head(numbers.key))).floor.offset != 3:
        assert time.monotonic() < deadline, "the compaction never came"
        await asyncio.sleep(0.01)
