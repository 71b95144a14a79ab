"""The keys that a pod holds in memory, and what keeps them fresh: doorbells, and a sweep for lost doorbells."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from via_state import metrics
from via_state.backplanes.base import Backplane, Watch
from via_state.conf import settings
from via_state.core.records import Changes, Position
from via_state.core.specs import CellSpec, LogSpec
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.pod.cells import CachedCell
from via_state.pod.projector import Projector
from via_state.pod.snapshots.snapshotter import Snapshotter
from via_state.runtime.rng import rng

T = TypeVar("T")
V = TypeVar("V")
logger = logging.getLogger("via_state.pod")

PRUNE_INTERVAL = 60.0  # seconds


class Residents:
    """Projectors and cell copies by key. Those of families, sessions and users leave when they are idle."""

    def __init__(self, backplane: Backplane, snapshots: Snapshotter) -> None:
        self._backplane = backplane
        self._snapshots = snapshots
        self._logs: dict[str, Projector[Any]] = {}
        self._cells: dict[str, CachedCell[Any]] = {}
        self._watch: Watch | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()
        #: Where each key stood here before the last sweep.
        self._swept: dict[Projector[Any] | CachedCell[Any], object] = {}
        self._hooks: list[Callable[[], Awaitable[None]]] = []
        self._closed = False
        self._prune_at = time.monotonic() + PRUNE_INTERVAL * rng.uniform(0.5, 1.5)

    def _all(self) -> list[Projector[Any] | CachedCell[Any]]:
        return [*self._logs.values(), *self._cells.values()]

    # What a verb finds ------------------------------------------------------------------------------------

    def loaded_log(self, key: str) -> Projector[Any] | None:
        """The projector of a key that has reached its head once, from any thread."""
        projector = self._logs.get(key)
        if projector is None or not projector.loaded:
            return None
        projector.used = time.monotonic()
        return projector

    def loaded_cell(self, key: str) -> CachedCell[Any] | None:
        """The copy of a cell that was loaded once, from any thread."""
        cell = self._cells.get(key)
        if cell is None or not cell.loaded:
            return None
        cell.used = time.monotonic()
        return cell

    def log(self, key: str, spec: LogSpec[V]) -> Projector[V]:
        """The projector of a key, started if need be. On the loop."""
        projector = self._logs.get(key)
        if projector is None:
            self._open(key)
            self._snapshots.store.start()
            projector = self._logs[key] = Projector(key, spec, self._backplane, self._snapshots)
            projector.ring()
        projector.used = time.monotonic()
        return projector

    def cell(self, key: str, spec: CellSpec[T]) -> CachedCell[T]:
        """The copy of a cell; the caller loads it if need be. On the loop."""
        cell = self._cells.get(key)
        if cell is None:
            self._open(key)
            cell = self._cells[key] = CachedCell(key, spec, self._backplane)
        cell.spec = spec  # a session's time to live follows the session
        cell.used = time.monotonic()
        return cell

    def appended(self, key: str, last: Position) -> asyncio.Future[None] | None:
        """This pod appended up to ``last``. A future that ends when it is folded here, or will not be soon."""
        projector = self._logs.get(key)
        if projector is None:
            return None
        future = projector.reach(last.epoch, last.offset)
        if future is not None:
            future.add_done_callback(_read_outcome)
            asyncio.get_running_loop().call_later(settings.FOLD_TIMEOUT, future.cancel)
        return future

    def logs(self) -> list[Projector[Any]]:
        """The projectors of this pod."""
        return list(self._logs.values())

    def holds(self, key: str) -> bool:
        """Whether the key is in memory; asking does not count as use."""
        return key in self._logs or key in self._cells

    # What keeps them fresh --------------------------------------------------------------------------------

    def every_sweep(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Await ``hook()`` in every sweep."""
        self._hooks.append(hook)

    def start_sweeping(self) -> None:
        """On the loop; starting twice is harmless."""
        if self._closed:
            raise Closed("The pod was closed.")
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def _open(self, key: str) -> None:
        self.start_sweeping()
        if self._watch is None:
            self._watch = self._backplane.watch(self._ring)
        self._watch.add(key)

    def _ring(self, key: str | None) -> None:
        if key is None:
            self._sweep_now.set()
        elif (projector := self._logs.get(key)) is not None:
            projector.ring()
        elif (cell := self._cells.get(key)) is not None:
            cell.ring()

    async def _sweep(self) -> None:
        cursor: object | None = None
        away = False
        while True:
            self._sweep_now.clear()
            stood = {one: one.at for one in self._all() if one.loaded}
            try:
                changes = await self._backplane.changed(cursor)
                if cursor is None or changes.everything:
                    for one in self._all():
                        one.ring()
                else:
                    self._ring_changed(changes)
                    self._ring_unknown(changes, stood)
                cursor, self._swept = changes.cursor, stood
                await self._prune()
                if away:
                    logger.info("The backplane is reachable again.")
                away = False
            except Closed:
                return
            except BackplaneUnavailable as error:
                metrics.backplane_errors.inc()
                if not away:
                    logger.warning("The backplane is away; it is tried again until it answers: %s", error)
                away = True
            except Exception:
                logger.exception("The sweep failed; it goes on.")
            self._evict()
            for hook in self._hooks:
                await hook()
            try:
                async with asyncio.timeout(settings.RECONCILE_INTERVAL * rng.uniform(0.8, 1.0)):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass

    def _ring_changed(self, changes: Changes) -> None:
        for key, head in changes.logs.items():
            projector = self._logs.get(key)
            if projector is not None and head.position != projector.position:
                projector.ring()
        for key, rev in changes.cells.items():
            cell = self._cells.get(key)
            if cell is not None and cell.loaded and cell.rev != rev:
                cell.ring()

    def _ring_unknown(self, changes: Changes, stood: dict[Projector[Any] | CachedCell[Any], object]) -> None:
        """Look at what moved here since the last sweep, and not there: the server may have come back without it, and its
        doorbell was faster than the sweep.
        """
        for one, at in stood.items():
            if at != self._swept.get(one) and one.key not in changes.logs and one.key not in changes.cells:
                one.ring()

    async def _prune(self) -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_INTERVAL * rng.uniform(0.5, 1.5)
        await self._backplane.prune()

    def _evict(self) -> None:
        horizon = time.monotonic() - settings.IDLE_TTL
        for residents in (self._logs, self._cells):
            idle = [key for key, one in residents.items() if one.spec.family and one.used < horizon and one.idle]
            for key in idle:
                residents.pop(key).stop()
                if self._watch is not None:
                    self._watch.discard(key)

    async def settle(self) -> None:
        """Wait until every projector and cell that was rung has caught up. For tests."""
        while tasks := [one.task for one in self._all() if one.task is not None]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop everything."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._snapshots.close(self._logs.values())
        for resident in self._all():
            resident.stop()
        if self._watch is not None:
            await self._watch.close()


def _read_outcome(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
