"""The one loop of a process that asks the backplane what moved, and the one that listens to its doorbells.

Doorbells are fast and may be lost; a sweep each ``RECONCILE_INTERVAL`` makes up for that. Whoever wants to know follows:
the projections and cell copies of the pod, the event handlers, whoever keeps projections for others. A follower has its own
turn, so that one that is slow or fails costs itself a round, and neither the sweep nor another follower.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

from via_state import telemetry
from via_state.backplanes.base import Backplane, Watch
from via_state.conf import settings
from via_state.core.records import Changes, LogBounds, Position, Revision
from via_state.runtime.outage import Outage
from via_state.runtime.rng import rng
from via_state.runtime.service import Service
from via_state.runtime.single_flight import SingleFlight

logger = logging.getLogger("via_state.pod")


class Follower(Protocol):
    """What wants to know which keys moved. All four are called on the loop."""

    @property
    def name(self) -> str:
        """What log lines call it."""

    def rang(self, key: str) -> None:
        """A doorbell of a key that it watches. Must not block nor raise."""

    def has(self, key: str, position: Position) -> bool:
        """Whether a doorbell for what comes up to this position of a log would tell it nothing."""

    def mark(self) -> object:
        """A sweep begins. What is returned comes back with its answer."""

    async def moved(self, changes: Changes, mark: object) -> None:
        """The answer of a sweep; of several, when the last call took longer than a sweep. ``mark`` is the newest one's.

        ``changes.everything`` is also set in a follower's first call, and in the one after a call that raised.
        """


class Following:
    """One follower's place at the reconciler: what it watches, and what it was not told yet."""

    def __init__(self, reconciler: Reconciler, follower: Follower) -> None:
        self._reconciler = reconciler
        self.follower = follower
        self._logs: dict[str, LogBounds] = {}
        self._cells: dict[str, Revision | None] = {}
        self._mark: object = None
        self._everything = True
        self._cursor: object | None = None
        self.flight = SingleFlight(lambda: follower.name, self._tell)
        #: One tuple for all keys that nobody else watches.
        self.alone = (self,)

    def watch(self, key: str) -> None:
        """Doorbells of this key, from now on; twice is harmless."""
        self._reconciler.want(key, self)

    def unwatch(self, key: str) -> None:
        """No more doorbells of this key."""
        self._reconciler.leave(key, self)

    def look_at_everything(self) -> None:
        """Sweep now, and have the follower told that anything may have moved."""
        self._everything = True
        self._reconciler.look()

    def put(self, changes: Changes, mark: object) -> None:
        """A sweep's answer."""
        self._logs.update(changes.logs)
        self._cells.update(changes.cells)
        self._everything = self._everything or changes.everything
        self._cursor, self._mark = changes.cursor, mark
        self.flight.ring()

    async def _tell(self) -> None:
        changes = Changes(self._logs, self._cells, self._everything, self._cursor)
        self._logs, self._cells, self._everything = {}, {}, False
        try:
            await self.follower.moved(changes, self._mark)
        except BaseException:
            self._everything = True
            raise

    async def close(self) -> None:
        """The follower leaves."""
        self._reconciler.forget(self)
        await self.flight.ended()


class Reconciler(Service):
    """Asks once for all. ``follow`` works before the start, too."""

    def __init__(self, backplane: Backplane) -> None:
        self.backplane = backplane
        self._followings: list[Following] = []
        #: By key, who wants its doorbells. Most keys have one follower.
        self._wanted: dict[str, tuple[Following, ...]] = {}
        self._watch: Watch | None = None
        self._cursor: object | None = None
        self._rung = 0  # doorbells since the last sweep
        self._flight = SingleFlight(
            "The sweep",
            self._sweep,
            outage=Outage(logger, "The backplane", "sweep"),
            cap=settings.RECONCILE_INTERVAL,
        )

    @property
    def away(self) -> Exception | None:
        """Why the last sweep failed, until one succeeds. From any thread."""
        return self._flight.failing

    @property
    def obstacle(self) -> Exception | None:
        """What keeps the sweep, or a follower, from its work; None where that may pass soon."""
        flights = [self._flight, *(one.flight for one in list(self._followings))]
        return next((one.obstacle for one in flights if one.obstacle is not None), None)

    def follow(self, follower: Follower) -> Following:
        """Tell ``follower`` from the next sweep on."""
        following = Following(self, follower)
        self._followings.append(following)
        self.look()
        return following

    def forget(self, following: Following) -> None:
        """Tell it no more."""
        if following in self._followings:
            self._followings.remove(following)
        for key in [key for key, wanted in self._wanted.items() if following in wanted]:
            self.leave(key, following)

    def look(self) -> None:
        """Sweep now."""
        if self.running:
            self._flight.ring()

    def want(self, key: str, following: Following) -> None:
        """One more follower watches a key."""
        wanted = self._wanted.get(key)
        if wanted is None:
            self._wanted[key] = following.alone
            if self._watch is not None:
                self._watch.add(key)
        elif following not in wanted:
            self._wanted[key] = (*wanted, following)

    def leave(self, key: str, following: Following) -> None:
        """One follower less watches it."""
        wanted = self._wanted.get(key, ())
        if following not in wanted:
            return
        left = tuple(one for one in wanted if one is not following)
        if left:
            self._wanted[key] = left
        else:
            del self._wanted[key]
            if self._watch is not None:
                self._watch.discard(key)

    async def _start(self) -> None:
        self._watch = self.backplane.watch(self._rang)
        self._watch.has = self._has
        for key in self._wanted:
            self._watch.add(key)
        self._flight.ring()

    async def _stop(self) -> None:
        await self._flight.ended()
        for following in list(self._followings):
            await following.close()
        if self._watch is not None:
            await self._watch.close()

    def _rang(self, key: str | None) -> None:
        if key is None:
            self._flight.ring()
            return
        self._rung += 1
        for following in self._wanted.get(key, ()):
            following.follower.rang(key)

    def _has(self, key: str, position: Position) -> bool:
        for following in self._wanted.get(key, ()):
            if not following.follower.has(key, position):
                return False
        self._rung += 1
        return True

    async def _sweep(self) -> float:
        followings = list(self._followings)
        marks = [one.follower.mark() for one in followings]
        started = time.monotonic()
        try:
            changes = await self.backplane.changed(self._cursor)
        except Exception:
            telemetry.SweepFailed().emit()
            raise
        rung, self._rung = self._rung, 0
        keys = len(changes.logs) + len(changes.cells)
        telemetry.Swept(time.monotonic() - started, keys, rung).emit()
        if self._cursor is None:
            changes = changes._replace(everything=True)
        self._cursor = changes.cursor
        for one, mark in zip(followings, marks, strict=True):
            one.put(changes, mark)
        return float(settings.RECONCILE_INTERVAL) * rng.uniform(0.8, 1.0)
