"""Work of ours on the project's database: on a few threads of our own, never on the loop nor on Django's threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2  # each holds at most one connection, and only while it works


class DatabaseThreads:
    """Runs functions that use the ORM. Each closes its connections when it ends, so none outlives the work."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function(...)`` on one of the threads."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="via-state-db")
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: _closing_connections(function, *args, **kwargs)
        )

    def close(self) -> None:
        """Take no more work. What runs is not interrupted."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def _closing_connections(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    finally:
        connections.close_all()
