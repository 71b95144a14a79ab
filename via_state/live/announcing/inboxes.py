"""From the pod's loop to those of the hubs: what a hub has to do waits in a queue that has an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

H = TypeVar("H")
logger = logging.getLogger("via_state.live")

#: What may wait for one hub. Of more, the oldest is dropped.
MOST = 1000
#: What a hub does before its loop has a turn for others.
AT_ONCE = 20


class _Job(NamedTuple, Generic[H]):
    do: Callable[[H], int]
    done: Future[int]


class Inbox(Generic[H]):
    """Work for one hub. ``dropped()`` is called for what found no room."""

    def __init__(self, hub: H, loop: asyncio.AbstractEventLoop, dropped: Callable[[], None]) -> None:
        self._hub, self._loop, self._dropped = hub, loop, dropped
        self._jobs: deque[_Job[H]] = deque()
        self._awake = False

    def put(self, do: Callable[[H], int]) -> Future[int]:
        """Have ``do(hub)`` called on the hub's loop; what it gives, and 0 where it was dropped, or the loop has ended."""
        job = _Job(do, Future[int]())
        self._jobs.append(job)
        while len(self._jobs) > MOST:
            if self._give_up_one():
                self._dropped()
        if not self._awake:
            self._wake()
        return job.done

    def _wake(self) -> None:
        self._awake = True
        try:
            self._loop.call_soon_threadsafe(self._work)
        except RuntimeError:  # the loop is closed
            while self._give_up_one():
                pass
            self._awake = False

    def _give_up_one(self) -> bool:
        with contextlib.suppress(IndexError):  # the hub took it just now
            _answer(self._jobs.popleft().done, 0)
            return True
        return False

    def _work(self) -> None:
        """On the hub's loop."""
        self._awake = False  # what is put from now on wakes us again
        for _ in range(AT_ONCE):
            try:
                job = self._jobs.popleft()
            except IndexError:
                return
            try:
                count = job.do(self._hub)
            except Exception:
                logger.exception("The tabs of an event loop could not be told something.")
                count = 0
            _answer(job.done, count)
        if self._jobs:
            self._wake()


def _answer(done: Future[int], count: int) -> None:
    if done.set_running_or_notify_cancel():  # somebody still waits
        done.set_result(count)
