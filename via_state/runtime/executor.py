"""Threads on which asyncio resolves names, also while the process ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from via_state.core.project_code import contained

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2  # one that waits for a name server keeps no other one from being asked


class DaemonExecutor(ThreadPoolExecutor):
    """An event loop's default executor whose threads are daemons, there from the beginning.

    Python ends those of an ordinary one before the exit handlers run, in which connections may still be needed, and starts no
    new ones then. It is a `ThreadPoolExecutor` because asyncio takes nothing else.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # which it never starts
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        for number in range(THREADS):
            threading.Thread(target=self._serve, name=f"via-state-names-{number}", daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(contained(error))
            else:
                future.set_result(result)

        self._jobs.put(job)
        return future

    def shutdown(self, wait: bool = True, **_: Any) -> None:
        """Let the threads end when they are done."""
        for _number in range(THREADS):
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
