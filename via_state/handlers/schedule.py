"""Which handlers work now, on a worker: what is rung waits in line here, as cheap as an entry in a dict.

A handler has a lane of its own, so that thousands of keys of one stand in no other's way. A job begins when few of its lane have
begun, and takes a place while it delivers; there are as many places as threads, and the lanes get them in turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from via_state.bookkeeping.positions import HandlerId
from via_state.exceptions import Closed

#: Jobs of a lane that get ready, with a claim and what they read, while all places are taken. When half of them are used up others
#: follow, together: claims that are wanted at the same moment are one transaction.
AHEAD = 64


#: Seconds for which all others wait for one that is to be alone; then it tries again after as many seconds.
PATIENCE = 10.0


class NotAlone(Exception):
    """Something runs for long."""


def _give_up(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_exception(NotAlone())


class Job(Protocol):
    """What stands in line. ``begin`` starts a task; when that has ended, `Schedule.ended` is called."""

    @property
    def handler(self) -> HandlerId: ...

    def begin(self) -> None: ...


class _Lane:
    __slots__ = ("begun", "limit", "places", "ready", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.ready: dict[Job, None] = {}
        self.begun = self.places = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Schedule:
    """``size``: how many may deliver at once; ``limits``: how many of one handler. All on the loop."""

    def __init__(self, size: int, limits: dict[HandlerId, int]) -> None:
        self._size = size
        self._lanes = {handler: _Lane(min(size, limit)) for handler, limit in limits.items()}
        self._turn = deque(self._lanes.values())
        self._taken = 0
        self._alone: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def put(self, job: Job) -> None:
        """At the end of its lane; twice is harmless."""
        if not self._closed:
            lane = self._lanes[job.handler]
            lane.ready[job] = None
            self._quiet.clear()
            self._begin(lane)

    def discard(self, job: Job) -> None:
        """Out of the line."""
        self._lanes[job.handler].ready.pop(job, None)
        self._look()

    def ended(self, job: Job) -> None:
        """Its task has ended."""
        lane = self._lanes[job.handler]
        lane.begun -= 1
        self._begin(lane)
        self._look()

    def _begin(self, lane: _Lane) -> None:
        if lane.begun > lane.limit + AHEAD // 2:
            return
        while lane.ready and lane.begun < lane.limit + AHEAD:
            job = next(iter(lane.ready))
            del lane.ready[job]
            lane.begun += 1
            job.begin()

    @asynccontextmanager
    async def place(self, handler: HandlerId, *, alone: bool = False) -> AsyncIterator[None]:
        """Wait for a place, and have it during the block; all of them where ``alone``. Raises `Closed` and `NotAlone`."""
        lane, granted = self._lanes[handler], asyncio.get_running_loop().create_future()
        if self._closed:
            raise Closed("The worker ends.")
        (self._alone if alone else lane.waiting).append(granted)
        self._grant()
        patience = asyncio.get_running_loop().call_later(PATIENCE, _give_up, granted) if alone else None
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._leave(lane, alone)  # granted, and cancelled at the same moment
            raise
        finally:
            if patience is not None:
                patience.cancel()
            self._grant()  # where it has given up, others need not wait for it
        try:
            yield
        finally:
            self._leave(lane, alone)

    def _leave(self, lane: _Lane, alone: bool) -> None:
        if alone:
            self._taken = 0
        else:
            lane.places -= 1
            self._taken -= 1
        self._grant()

    def _grant(self) -> None:
        """Places for those that wait, one for each lane in turn. While one waits to be alone, no more are given."""
        while self._alone and self._alone[0].done():
            self._alone.popleft()
        if self._alone:
            if not self._taken:
                self._taken = self._size
                self._alone.popleft().set_result(None)
            return
        passed = 0
        while self._taken < self._size and passed < len(self._turn):
            lane = self._turn[0]
            self._turn.rotate(-1)
            while lane.waiting and lane.waiting[0].done():
                lane.waiting.popleft()
            if lane.waiting and lane.places < lane.limit:
                lane.places += 1
                self._taken += 1
                lane.waiting.popleft().set_result(None)
                passed = 0
            else:
                passed += 1

    def close(self) -> None:
        """Nothing begins any more, and nobody gets a place."""
        self._closed = True
        waiting = [self._alone, *(lane.waiting for lane in self._lanes.values())]
        for lane in self._lanes.values():
            lane.ready.clear()
        for line in waiting:
            for one in line:
                if not one.done():
                    one.set_exception(Closed("The worker ends."))
            line.clear()
        self._look()

    async def quiet(self) -> None:
        """Wait until nothing stands in line and nothing runs."""
        await self._quiet.wait()

    @property
    def busy(self) -> bool:
        """Whether something stands in line or runs."""
        return not self._quiet.is_set()

    def _look(self) -> None:
        if all(not lane.ready and not lane.begun for lane in self._lanes.values()):
            self._quiet.set()
