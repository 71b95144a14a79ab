"""Discards what snapshots cover: the second step after a snapshot, at its own pace."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.snapshots import SnapshotStore
from via_state.core.records import LogBounds, Position
from via_state.core.snapshot_generations import RetentionHold
from via_state.core.specs import LogSpec
from via_state.pod.snapshots.proof import held
from via_state.runtime.outage import Outage
from via_state.runtime.single_flight import AWAY, SingleFlight

logger = logging.getLogger("via_state.snapshots")


class Compactor:
    """Compacts logs one after the other, so that a long one delays no snapshot. Idle it has no task."""

    def __init__(self, backplane: Backplane, store: SnapshotStore) -> None:
        self._backplane, self._store = backplane, store
        self._waiting: dict[tuple[str, str], LogSpec[Any]] = {}
        self._one_at_a_time = asyncio.Lock()
        name = "The compaction of logs"
        self._flight = SingleFlight(name, self._compact, cap=15.0, outage=Outage(logger, name, "compaction"))

    def soon(self, key: str, epoch: str, spec: LogSpec[Any]) -> None:
        """Older snapshots of this log became compactable. On the loop."""
        if self._backplane.compacts and spec.snapshots is not None and spec.snapshots.compact:
            self._waiting[key, epoch] = spec
            self._flight.ring()

    async def _compact(self) -> None:
        try:
            await self.run()
        except AWAY:
            telemetry.SnapshotStoreFailed().emit()
            raise

    async def decide(self, key: str, epoch: str, spec: LogSpec[Any], *, dry: bool = False) -> RetentionHold:
        """See `SnapshotStore.decide`; the stored snapshots are compared with the log first."""
        proven = await held(self._backplane, key, await self._store.positions(key, epoch))
        return await self._store.decide(key, epoch, spec, proven, dry=dry)

    async def run(self) -> None:
        """Compact what waits. The floor is decided, durably, before the backplane hears of it.

        Raises `BackplaneUnavailable` and `OutcomeUnknown`; what was not done still waits.
        """
        async with self._one_at_a_time:
            while self._waiting:
                (key, epoch), spec = self._waiting.popitem()
                try:
                    hold = await self.decide(key, epoch, spec)
                    if hold.offset:
                        await self._discard(key, epoch, spec, hold.offset)
                except BaseException:
                    self._waiting[key, epoch] = spec
                    raise

    async def _discard(self, key: str, epoch: str, spec: LogSpec[Any], through: int) -> None:
        bounds = await self._backplane.head(key)
        before = bounds.floor.offset
        records = 0
        if bounds.position.epoch == epoch and before < through:
            records = await self._backplane.count(
                key, before, LogBounds(Position(epoch, through, ""), bounds.floor)
            )
        began = time.perf_counter()
        await self._backplane.compact(key, through, epoch)
        telemetry.Compacted(key, spec.name, through, records, time.perf_counter() - began).emit()

    async def close(self) -> None:
        """Stop; what was decided and not done, the next compaction does."""
        self._waiting.clear()
        await self._flight.ended()
