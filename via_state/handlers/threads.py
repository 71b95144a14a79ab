"""The threads on which handlers run. Unlike those for our own database work they keep their connections while busy."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from via_state.exceptions import Closed

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("via_state.handlers")

#: Seconds without work after which a thread closes its connections.
IDLE = 10.0


class WorkerThreads:
    """``size`` daemon threads, started as they are needed. ``end_of_work`` runs on one that has nothing to do."""

    def __init__(self, size: int, name: str, end_of_work: Callable[[], None]) -> None:
        self.size = size
        self._name = name
        self._end_of_work = end_of_work
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function(...)`` on one of the threads. On the loop."""
        if self._closed:
            raise Closed("The worker was stopped.")
        future: Future[T] = Future()
        self._busy += 1
        if self._busy > len(self._threads) < self.size:
            name = f"{self._name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()
        self._work.put((future, lambda: function(*args, **kwargs)))
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._busy -= 1

    def _serve(self) -> None:
        try:
            while (job := self._next()) is not None:
                future, function = job
                if not future.set_running_or_notify_cancel():
                    continue
                _drop_broken_connections()
                try:
                    result = function()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                del job, future, function
        finally:
            self._end_of_work()

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        try:
            return self._work.get(timeout=IDLE)
        except queue.Empty:
            try:
                self._end_of_work()
            except Exception as error:  # the thread is still needed
                logger.debug("A connection could not be closed: %s", error)
            return self._work.get()

    async def close(self, timeout: float = 5.0) -> None:
        """Take no more work, and wait for what runs, ``timeout`` seconds at most. Closing twice is harmless."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)
        deadline = time.monotonic() + timeout
        # Not asyncio.to_thread: when the process ends, its threads are gone before this runs.
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)


def _drop_broken_connections() -> None:
    for connection in connections.all(initialized_only=True):
        # Not those that are as old as CONN_MAX_AGE, 0 for most projects: a new connection takes longer than most deliveries.
        healthy = (
            not connection.errors_occurred and not connection.in_atomic_block and not connection.needs_rollback
        )
        try:
            if not healthy:
                connection.close_if_unusable_or_obsolete()
        except Exception as error:
            logger.debug("A connection of %r could not be looked at: %s", connection.alias, error)
