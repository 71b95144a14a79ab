"""Which handlers work now, on a worker: what is rung waits in line here, as cheap as an entry in a dict.

A handler has a lane of its own, so that thousands of keys of one stand in no other's way. A job begins when few of its lane have
begun, and takes a place while it delivers; there are as many places as threads, and the lanes get them in turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from via_state.bookkeeping.positions import HandlerId, PositionStore
from via_state.exceptions import Closed
from via_state.handlers.delivering import Turn
from via_state.handlers.series import Series, Turning, Waiting
from via_state.runtime.worker_threads import WorkerThreads

#: Jobs of a lane that get ready, with a claim and what they read, while all places are taken. When half of them are used up others
#: follow, together: claims that are wanted at the same moment are one transaction.
AHEAD = 128


#: Seconds on a thread, then other handlers have theirs.
TURN = 0.25

#: Seconds for which all others wait for one that is to be alone, until it can begin and again while it runs. Then they have their places: what
#: could not begin tries again after as many seconds, and what runs has company.
PATIENCE = 10.0


class NotAlone(Exception):
    """Something runs for long."""


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
        self.waiting: deque[Waiting] = deque()

    def take(self) -> Waiting | None:
        """What has waited longest. From any thread."""
        while True:
            try:
                one = self.waiting.popleft()
            except IndexError:
                return None
            if not one.done:
                return one


class Schedule:
    """As many deliver at once as there are ``threads``; ``limits``: how many of one handler. All on the loop, but what says so."""

    def __init__(self, store: PositionStore, threads: WorkerThreads, limits: Mapping[HandlerId, int]) -> None:
        self._store, self._threads = store, threads
        self._size = size = threads.size
        self._lanes = {handler: _Lane(min(size, limit)) for handler, limit in limits.items()}
        self._rotation = deque(self._lanes.values())
        self._every = tuple(self._lanes.values())
        self._taken = 0
        self._alone: deque[tuple[_Lane, Waiting]] = deque()
        self._series = set[asyncio.Task[None]]()
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

    async def deliver(self, handler: HandlerId, work: Turning, *, alone: bool = False) -> Turn:
        """Wait for a thread, and for what comes of the turn on it; all other threads rest where ``alone``, for `PATIENCE`.

        Raises `Closed`, `NotAlone`, and what the turn raises.
        """
        if self._closed:
            raise Closed("The worker ends.")
        lane, one = self._lanes[handler], Waiting(work)
        if not alone:
            lane.waiting.append(one)
            self._grant()
            return await one.result()
        self._alone.append((lane, one))
        self._grant()
        patience = asyncio.get_running_loop().call_later(PATIENCE, self._give_up, (lane, one))
        try:
            return await one.result()
        finally:
            patience.cancel()

    def _give_up(self, one: tuple[_Lane, Waiting]) -> None:
        if one in self._alone:
            self._alone.remove(one)
            one[1].fail(NotAlone())
            self._grant()  # the others need not wait for it any more

    def _grant(self) -> None:
        """Places for those that wait, one for each lane in turn. While one waits to be alone, no more are given."""
        if self._alone:
            if not self._taken:
                self._begin_series(*self._alone.popleft(), places=self._size)
            return
        passed = 0
        while self._taken < self._size and passed < len(self._rotation):
            lane = self._rotation[0]
            self._rotation.rotate(-1)
            one = lane.take() if lane.places < lane.limit else None
            if one is None:
                passed += 1
            else:
                self._begin_series(lane, one)
                passed = 0

    def _begin_series(self, lane: _Lane, one: Waiting, places: int = 1) -> None:
        lane.places += 1
        self._taken += places
        task = asyncio.get_running_loop().create_task(self._run(lane, one, places))
        self._series.add(task)
        task.add_done_callback(self._series.discard)

    async def _run(self, lane: _Lane, one: Waiting, places: int) -> None:
        following = partial(self._following, lane) if places == 1 else lambda: None

        def share() -> None:  # it hangs, perhaps
            nonlocal places
            self._taken -= places - 1
            places = 1
            self._grant()

        patience = asyncio.get_running_loop().call_later(PATIENCE, share) if places > 1 else None
        try:
            await self._threads.run(lambda: Series(self._store, following, self._threads.between, TURN).run(one))
        except Closed as error:
            one.fail(error)
        finally:
            if patience is not None:
                patience.cancel()
            lane.places -= 1
            self._taken -= places
            self._grant()

    def _following(self, lane: _Lane) -> Waiting | None:
        """What a thread delivers next of the same handler; None where another one waits for a thread. From any thread."""
        pressed = self._closed or self._alone
        if pressed or any(one.waiting and one is not lane and one.places < one.limit for one in self._every):
            return None
        return lane.take()

    def close(self) -> None:
        """Nothing begins any more, and nobody gets a place."""
        self._closed = True
        waiting = [one for _, one in self._alone]
        self._alone.clear()
        for lane in self._lanes.values():
            lane.ready.clear()
            while (one := lane.take()) is not None:
                waiting.append(one)
        for one in waiting:
            one.fail(Closed("The worker ends."))
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
