"""Work of ours on the project's database: on a few threads of our own, never on the loop nor on Django's threads."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from via_state.exceptions import Closed

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2  # each holds at most one connection, and only while it works


class DatabaseThreads:
    """Runs functions that use the ORM. Each closes its connections when it ends, so none outlives the work.

    They are daemon threads rather than an executor's: those are gone before the process runs its exit handlers, where the
    last snapshots are written.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self) -> None:
        """Start the threads; twice is harmless."""
        while len(self._threads) < THREADS and not self._closed:
            name = f"via-state-db-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function(...)`` on one of the threads."""
        if self._closed:
            raise Closed("The pod was closed.")
        self.start()
        future: Future[T] = Future()
        self._work.put((future, lambda: function(*args, **kwargs)))
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            future, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                try:
                    result = function()
                finally:
                    connections.close_all()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, future, function

    def close(self) -> None:
        """Take no more work. What runs is not interrupted."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)
