"""Statements off the loop: each on a database thread, its errors translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, ParamSpec, TypeVar

from via_state.runtime.database_errors import reaching
from via_state.runtime.worker_threads import WorkerThreads

P = ParamSpec("P")
T = TypeVar("T")


class OnThreads:
    """What adapters whose port is awaited have in common. ``WHAT`` they ask for, as `reaching` says it. The threads are the pod's."""

    WHAT: ClassVar[str]

    def __init__(self, threads: WorkerThreads) -> None:
        self._threads = threads

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await ask(self.WHAT, self._threads, function, *args, **kwargs)


async def ask(what: str, threads: WorkerThreads, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function on a database thread. Raises `BackplaneUnavailable` and `BackplaneRefused`, see `reaching`."""
    with reaching(what):
        return await threads.run(function, *args, **kwargs)
