"""The keys that a pod holds in memory. The reconciler keeps them fresh."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar, cast

from via_state import telemetry
from via_state.conf import settings
from via_state.core.records import GENESIS, AppendedAfter, Changes, LogBounds, Pack, Position
from via_state.core.specs import CellSpec, LogSpec
from via_state.exceptions import Closed
from via_state.pod.reading.batches import Replays
from via_state.pod.reading.cell_copy import CellCopy
from via_state.pod.reading.expiries import Expiries
from via_state.pod.reading.projector import Projector
from via_state.pod.reading.reconciler import Reconciler
from via_state.pod.reading.replica import Replica
from via_state.pod.reading.use_order import UseOrder
from via_state.pod.snapshots.snapshotter import Snapshotter

T = TypeVar("T")
V = TypeVar("V")

#: Seconds for which an unused key stays in memory under which nothing was ever written: reading it again costs a look.
UNWRITTEN_TTL = 10.0

#: Keys in one question to the backplane; keys that look at it at the same time, and for how long others wait for them.
ASKED_AT_ONCE, RUNG_AT_ONCE, TURN_SECONDS = 1000, 100, 1.0
NOTHING = LogBounds(GENESIS, GENESIS)


class Replicas:
    """Projectors and cell copies by key. Those of families, sessions and users leave when they are idle.

    ``begin`` is called when there is something to keep fresh.
    """

    def __init__(self, reconciler: Reconciler, snapshots: Snapshotter, begin: Callable[[], None]) -> None:
        self._backplane = reconciler.backplane
        self._snapshots = snapshots
        self._begin = begin
        self._logs: dict[str, Projector[Any]] = {}
        self._cells: dict[str, CellCopy[Any]] = {}
        self._replays = Replays()
        self._sweep = 0
        #: What moved here and was not compared with a sweep's answer yet, with the last sweep that had begun before.
        self._movers: dict[Projector[Any] | CellCopy[Any], int] = {}
        #: Projections of which an operator should hear.
        self._troubled: set[Projector[Any]] = set()
        self._expiries: Expiries[CellCopy[Any]] = Expiries()
        self._order: UseOrder[Projector[Any] | CellCopy[Any]] = UseOrder()
        self._full = 0  # not before so many keys is room made again
        self._closed = False
        self._following = reconciler.follow(self)

    @property
    def name(self) -> str:
        return "The projections of this pod"

    def _all(self) -> list[Projector[Any] | CellCopy[Any]]:
        return [*self._logs.values(), *self._cells.values()]

    # What a verb finds ------------------------------------------------------------------------------------

    def loaded_log(self, key: str) -> Projector[Any] | None:
        """The projector of a key that has reached its head once, from any thread."""
        projector = self._logs.get(key)
        if projector is None or not projector.loaded or self._closed:
            return None
        projector.used = time.monotonic()
        return projector

    def loaded_cell(self, key: str) -> CellCopy[Any] | None:
        """The copy of a cell that was loaded once, from any thread."""
        cell = self._cells.get(key)
        if cell is None or not cell.loaded or self._closed:
            return None
        cell.used = time.monotonic()
        return cell

    def log(self, key: str, spec: LogSpec[V]) -> Projector[V]:
        """The projector of a key, started if need be. On the loop."""
        self._refuse_closed()
        projector = self._logs.get(key)
        if projector is None:
            self._open(key)
            self._snapshots.store.start()
            projector = self._logs[key] = Projector(
                key, spec, self._backplane, self._snapshots, self._looked, self._replays
            )
            self._may_leave_later(projector)
            projector.ring()
        projector.used = time.monotonic()
        return projector

    def cell(self, key: str, spec: CellSpec[T]) -> CellCopy[T]:
        """The copy of a cell; the caller loads it if need be. On the loop."""
        self._refuse_closed()
        cell = self._cells.get(key)
        if cell is None:
            self._open(key)
            cell = self._cells[key] = CellCopy(key, spec, self._backplane, self._looked)
            self._may_leave_later(cell)
        cell.spec = spec  # a session's time to live follows the session
        cell.used = time.monotonic()
        return cell

    def appended(self, key: str, last: Position, pack: Pack | None = None) -> asyncio.Future[None] | None:
        """This pod appended up to ``last``. A future that ends when it is folded here, or will not be soon. ``pack``: what it appended,
        which is folded at once where the backplane's answer proves that nothing is between.
        """
        projector = self._logs.get(key)
        if projector is None:
            return None
        if pack is not None and isinstance(last, AppendedAfter):
            projector.fold_own(pack, last)
        future = projector.reach(last.epoch, last.offset)
        if future is not None:
            future.add_done_callback(_read_outcome)
            asyncio.get_running_loop().call_later(settings.FOLD_TIMEOUT, future.cancel)
        return future

    def logs(self) -> list[Projector[Any]]:
        """The projectors of this pod."""
        return list(self._logs.values())

    def troubled(self) -> list[Projector[Any]]:
        """The projectors of which an operator should hear."""
        return list(self._troubled)

    @property
    def obstacle(self) -> Exception | None:
        """What keeps a projection from its log; None where that may pass soon."""
        return next((one.obstacle for one in self.logs() if one.obstacle is not None), None)

    def holds(self, key: str) -> bool:
        """Whether the key is in memory; asking does not count as use."""
        return key in self._logs or key in self._cells

    # What keeps them fresh --------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        """Nothing refreshes what a closed pod holds: it would be an old value for ever."""
        if self._closed:
            raise Closed("The pod was closed. Get the current one instead of keeping an old reference.")

    def _open(self, key: str) -> None:
        self._begin()
        self._make_room()
        self._following.watch(key)

    def rang(self, key: str) -> None:
        """A doorbell."""
        if (projector := self._logs.get(key)) is not None:
            projector.ring()
        elif (cell := self._cells.get(key)) is not None:
            cell.ring()

    def has(self, key: str, position: Position) -> bool:
        """Whether a doorbell for this position comes late."""
        projector = self._logs.get(key)
        return projector is not None and projector.has(position)

    def _looked(self, one: Replica[Any], moved: bool) -> None:
        """A key was looked at. What a sweep has to do is put down here, so that it costs what moved, not what is there."""
        if isinstance(one, Projector):
            if one.troubled:
                self._troubled.add(one)
            else:
                self._troubled.discard(one)
        elif isinstance(one, CellCopy):
            self._expiries.put(one)
        if moved:
            known = cast(Projector[Any] | CellCopy[Any], one)
            self._movers[known] = self._sweep
            if one.at is None:
                self._may_leave_later(known)

    def mark(self) -> object:
        """A sweep begins."""
        self._sweep += 1
        return self._sweep

    async def moved(self, changes: Changes, mark: object) -> None:
        """The answer of a sweep."""
        found = 0
        if changes.everything:
            await self._ring_in_turns(await self._elsewhere())
        else:
            found = self._ring_changed(changes)
        self._ring_unknown(changes, cast(int, mark or 0))
        for cell in self._expiries.take():
            cell.ring()
        self._evict()
        telemetry.KeysHeld(len(self._logs), len(self._cells), found).emit()

    async def _elsewhere(self) -> list[Projector[Any] | CellCopy[Any]]:
        """Anything may have moved, as after a restart of the server: those that are not where the backplane is. One question for many
        keys, because one for each would keep the connections from everybody else.
        """
        found: list[Projector[Any] | CellCopy[Any]] = [one for one in self._all() if not one.loaded]
        logs = [one for one in self._logs.values() if one.loaded]
        for some in _portions(logs, ASKED_AT_ONCE):
            heads = await self._backplane.heads([one.key for one in some])
            found += [one for one in some if heads.get(one.key, NOTHING).position != one.position]
        cells = [one for one in self._cells.values() if one.loaded]
        for part in _portions(cells, ASKED_AT_ONCE):
            revisions = await self._backplane.revisions([one.key for one in part])
            found += [one for one in part if revisions.get(one.key) != one.stored]
        return found

    @staticmethod
    async def _ring_in_turns(rung: list[Projector[Any] | CellCopy[Any]]) -> None:
        """Ring many, some at a time, so that the reads of others come in between."""
        for some in _portions(rung, RUNG_AT_ONCE):
            for one in some:
                one.ring()
            tasks = [one.task for one in some if one.task is not None]
            if tasks and some[-1] is not rung[-1]:
                await asyncio.wait(tasks, timeout=TURN_SECONDS)

    def _ring_changed(self, changes: Changes) -> int:
        """Ring what moved; returns how many of these no doorbell had rung."""
        found = 0
        for key, head in changes.logs.items():
            projector = self._logs.get(key)
            if projector is not None and head.position != projector.position:
                found += projector.task is None
                projector.ring()
        for key, revision in changes.cells.items():
            cell = self._cells.get(key)
            if cell is not None and cell.loaded and cell.stored != revision:
                found += cell.task is None
                cell.ring()
        return found

    def _ring_unknown(self, changes: Changes, sweep: int) -> None:
        """Look at what moved here before this sweep began, and not there: the server may have come back without it, and its doorbell
        was faster than the sweep.
        """
        for one in [one for one, before in self._movers.items() if before < sweep]:
            del self._movers[one]
            if not (changes.everything or one.key in changes.logs or one.key in changes.cells):
                one.ring()

    def _may_leave_later(self, one: Projector[Any] | CellCopy[Any]) -> None:
        if one.spec.family:
            self._order.add(one)

    def _evict(self) -> None:
        """Those leave that nobody has used for a while; sooner, if nothing was ever written under the key."""
        now = time.monotonic()
        used, unwritten = now - settings.IDLE_TTL, now - min(settings.IDLE_TTL, UNWRITTEN_TTL)
        for one in self._order.oldest(unwritten, used, _is_idle):
            self._drop(one)

    def _make_room(self) -> None:
        """At ``MAX_REPLICAS`` a tenth leaves: first those under whose keys nothing was ever written, then those that were not used
        for longest. Nobody leaves who is watched, waited for or at work.
        """
        most = settings.MAX_REPLICAS
        if len(self._logs) + len(self._cells) < most or len(self._logs) + len(self._cells) < self._full:
            return
        with closing(self._order.oldest(math.inf, math.inf, _is_idle)) as oldest:
            for one in islice(oldest, most // 10 or 1):
                self._drop(one)
        # Where too few could leave, the next look is not at the very next key.
        self._full = max(most, len(self._logs) + len(self._cells) + (most // 100 or 1))

    def _drop(self, one: Projector[Any] | CellCopy[Any]) -> None:
        if isinstance(one, Projector):
            del self._logs[one.key]
            self._troubled.discard(one)
        else:
            del self._cells[one.key]
            self._expiries.discard(one)
        self._movers.pop(one, None)
        one.stop()
        self._following.unwatch(one.key)

    async def settle(self) -> None:
        """Wait until every projector and cell that was rung has caught up. For tests."""
        while True:
            for one in self._all():
                if one.flight.rung:
                    one.hurry()
            tasks = [one.task for one in self._all() if one.task is not None]
            if not tasks:
                return
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop everything."""
        self._closed = True
        await self._following.close()
        await self._snapshots.close(one.snapshots for one in self._logs.values())
        for resident in self._all():
            resident.stop()


def _read_outcome(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()


def _is_idle(one: Projector[Any] | CellCopy[Any]) -> bool:
    return one.idle


def _portions(many: list[V], size: int) -> Iterator[list[V]]:
    for start in range(0, len(many), size):
        yield many[start : start + size]
