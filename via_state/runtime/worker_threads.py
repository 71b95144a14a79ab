"""Threads of our own for work that blocks: never on the loop, nor on Django's threads."""

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

from via_state.core.project_code import contained
from via_state.exceptions import Closed
from via_state.runtime.database_errors import look_elsewhere

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("via_state.runtime")

#: How many threads may run on that nobody waits for, for each thread that works.
MOST_LEFT = 4


class WorkerThreads:
    """``size`` daemon threads, started as they are needed.

    ``end_of_work`` runs on a thread that has had nothing to do for ``idle`` seconds, and when it ends: connections are closed there.

    ``replaces``: where somebody stops waiting for a function that runs on, another thread takes that one's place, up to `MOST_LEFT` times
    ``size`` of them; it ends when the function does. A function that never returns so costs a thread, and not the work of others.

    They are daemon threads rather than an executor's: those are gone before the process runs its exit handlers, where the
    last snapshots are written.
    """

    def __init__(
        self,
        size: int,
        name: str,
        end_of_work: Callable[[], None],
        *,
        idle: float = 10.0,
        replaces: bool = False,
    ) -> None:
        self.size = size
        self._replaces = replaces
        self._name, self._end_of_work, self._idle = name, end_of_work, idle
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # over the next two
        self._running: dict[Future[Any], threading.Thread] = {}
        self._left = 0  # threads that were given up, and still run
        self._busy = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Threads of ours on which something runs. From any thread."""
        with self._lock:
            return len(self._running) - self._left

    def start(self, count: int | None = None) -> None:
        """Have ``count`` threads (default: all) from now on. A process that ends can't start one any more."""
        while len(self._threads) < (self.size if count is None else count) and not self._closed:
            name = f"{self._name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function(...)`` on one of the threads. On the loop."""
        if self._closed:
            raise Closed("These threads were stopped.")
        future: Future[T] = Future()
        self._busy += 1
        self.start(min(self._busy, self.size))
        self._work.put((future, lambda: function(*args, **kwargs)))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._replaces:
                self._give_up(future)
            raise
        finally:
            self._busy -= 1

    def _give_up(self, future: Future[Any]) -> None:
        """Nobody waits for this function any more: where it runs, its thread is not one of ours from now on."""
        with self._lock:
            thread = self._running.get(future)
            if thread not in self._threads:
                return  # it has not begun, or is over
            if self._left >= MOST_LEFT * self.size:
                logger.error("%s functions run on that nobody waits for: no more threads are started.", self._left)
                return
            self._threads.remove(thread)
            self._left += 1
        self.start(min(self._busy - 1, self.size))  # for what waits in the queue
        logger.debug("Nobody waits any more for what runs on %s.", thread.name)

    def _begun(self, future: Future[Any]) -> bool:
        with self._lock:
            self._running[future] = threading.current_thread()
        return future.set_running_or_notify_cancel()

    def _over(self, future: Future[Any]) -> bool:
        """Whether this thread is still one of ours."""
        with self._lock:
            del self._running[future]
            if threading.current_thread() in self._threads:
                return True
            self._left -= 1
            return False

    @staticmethod
    def between() -> None:
        """To call on a thread between two pieces of work that it does in one."""
        _close_broken_connections()

    def _serve(self) -> None:
        try:
            while (job := self._next()) is not None:
                future, function = job
                if not self._begun(future):
                    self._over(future)
                    continue
                _close_broken_connections()
                try:
                    try:
                        result = function()
                    except BaseException as error:
                        look_elsewhere(error)
                        raise
                    finally:
                        if self._idle:
                            _give_back_pooled_connections()
                        else:
                            self._end_of_work()
                except BaseException as error:
                    future.set_exception(contained(error))
                else:
                    future.set_result(result)
                ours = self._over(future)
                del job, future, function
                if not ours:
                    return
        finally:
            self._end_of_work()

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        if not self._idle:
            return self._work.get()
        try:
            return self._work.get(timeout=self._idle)
        except queue.Empty:
            try:
                self._end_of_work()
            except BaseException as error:  # the thread is still needed
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


def database_threads() -> WorkerThreads:
    """Two threads for work of ours with the ORM. Each closes its connections when a piece of work ends."""
    return WorkerThreads(2, "via-state-db", connections.close_all, idle=0)


def _give_back_pooled_connections() -> None:
    """Those of a pool of Django's are for all threads: one that has nothing to do keeps none from the others."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict.get("OPTIONS", {}).get("pool"):
            try:
                connection.close()
            except BaseException as error:
                logger.debug("A connection of %r could not be given back: %s", connection.alias, error)


def _close_broken_connections() -> None:
    for connection in connections.all(initialized_only=True):
        # Not those that are as old as CONN_MAX_AGE, 0 for most projects: a new connection takes longer than most deliveries.
        healthy = (
            not connection.errors_occurred and not connection.in_atomic_block and not connection.needs_rollback
        )
        try:
            if not healthy:
                connection.close_if_unusable_or_obsolete()
        except BaseException as error:
            logger.debug("A connection of %r could not be looked at: %s", connection.alias, error)
