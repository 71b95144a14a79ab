"""Discards what snapshots cover: the second step after a snapshot, at its own pace."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from via_state import metrics
from via_state.backplanes.base import Backplane
from via_state.core.snapshot_generations import RetentionHold
from via_state.core.specs import LogSpec
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown
from via_state.pod.snapshots.proof import held
from via_state.pod.snapshots.store import SnapshotStore
from via_state.runtime.backoff import Backoff
from via_state.runtime.outage import Outage

logger = logging.getLogger("via_state.snapshots")


class Compactor:
    """Compacts logs one after the other, so that a long one delays no snapshot. Idle it has no task."""

    def __init__(self, backplane: Backplane, store: SnapshotStore) -> None:
        self._backplane, self._store = backplane, store
        self._waiting: dict[tuple[str, str], LogSpec[Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self._outage = Outage(logger, "The compaction of logs", "compaction")

    def soon(self, key: str, epoch: str, spec: LogSpec[Any]) -> None:
        """Older snapshots of this log have settled. On the loop."""
        if self._backplane.compacts and spec.snapshots is not None and spec.snapshots.compact and not self._closed:
            self._waiting[key, epoch] = spec
            self._start()

    def _start(self) -> None:
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._waiting.clear()
            logger.error("A compaction failed; the next snapshot tries again.", exc_info=error)
        else:
            self._start()  # what came between the last look and this callback

    async def _run(self) -> None:
        backoff = Backoff(base=0.1, cap=15.0)
        while self._waiting:
            try:
                await self.run()
            except (BackplaneUnavailable, OutcomeUnknown) as error:
                metrics.snapshot_errors.inc()
                self._outage.failed(error)
                await backoff.pause()
            except Closed:
                self._waiting.clear()
            else:
                self._outage.answered()

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
                    pin = await self.decide(key, epoch, spec)
                    if pin.offset:
                        await self._backplane.compact(key, pin.offset, epoch)
                        metrics.compactions.labels(spec.name).inc()
                except BaseException:
                    self._waiting[key, epoch] = spec
                    raise

    async def close(self) -> None:
        """Stop; what was decided and not done, the next compaction does."""
        self._closed = True
        self._outage.over()
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
