"""Those who wait until one key has come as far as they ask: with ``at_least``, or for the fold of their own append."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

W = TypeVar("W")


class _Waiter(NamedTuple, Generic[W]):
    wanted: W
    reads: int
    future: asyncio.Future[None]


class Waiters(Generic[W]):
    """``W`` is what they ask for. All on the pod's loop."""

    __slots__ = ("_waiters", "reads")

    def __init__(self) -> None:
        self._waiters: list[_Waiter[W]] = []
        #: How many reads of the key were begun. Only one that began after a waiter came can disappoint it.
        self.reads = 0

    def __bool__(self) -> bool:
        return any(not one.future.done() for one in self._waiters)

    def add(self, wanted: W) -> asyncio.Future[None]:
        """One more. The future is done when the key has come so far; it raises where it never will."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(wanted, self.reads, future))
        return future

    def answer(self, outcome_of: Callable[[W, bool], bool | Exception], read: int) -> None:
        """Ask about each: True, it is there; an exception, it never will be; False, not yet.

        ``read``: the number of the read that has brought news. The second argument says whether it began after the waiter came.
        """
        waiting = []
        for waiter in self._waiters:
            if waiter.future.done():
                continue
            outcome = outcome_of(waiter.wanted, read > waiter.reads)
            if isinstance(outcome, Exception):
                waiter.future.set_exception(outcome)
            elif outcome:
                waiter.future.set_result(None)
            else:
                waiting.append(waiter)
        self._waiters = waiting

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Disappoint all, each with an error of its own."""
        self.answer(lambda wanted, fresh: error(), self.reads)
