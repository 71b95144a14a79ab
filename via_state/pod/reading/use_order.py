"""Which keys were not used for longest, without a look at all the others."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Generator
from typing import Generic, Protocol, TypeVar


class Used(Protocol):
    """A projection or a copy of a cell, as it is seen here."""

    used: float

    @property
    def blank(self) -> bool:
        """Whether nothing was ever written under its key."""


U = TypeVar("U", bound=Used)


class _Queue(Generic[U]):
    """Keys by the time of a use of theirs. Whoever reads a key, in any thread, only notes the time: its place is corrected when it comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, U]] = []

    def put(self, one: U, place: int, when: float) -> None:
        heapq.heappush(self._heap, (when, place, one))

    def first(self, places: dict[U, int], before: float) -> U | None:
        """Take out the one that was not used for longest, where that was before a time."""
        heap = self._heap
        while heap and heap[0][0] < before:
            when, place, one = heap[0]
            if places.get(one) != place:
                heapq.heappop(heap)  # it left, or has another place
            elif one.used > when:
                heapq.heapreplace(heap, (one.used, place, one))
            else:
                heapq.heappop(heap)
                return one
        return None


class UseOrder(Generic[U]):
    """The keys that may leave memory. Those under which nothing was ever written have a line of their own, since they leave first."""

    def __init__(self) -> None:
        self._unwritten: _Queue[U] = _Queue()
        self._written: _Queue[U] = _Queue()
        self._places: dict[U, int] = {}
        self._given = 0

    def add(self, one: U) -> None:
        """A key came, or there is nothing under it any more. Until it turns out that something was written it counts as unwritten."""
        self._put(one, self._unwritten, one.used)

    def discard(self, one: U) -> None:
        """It left."""
        self._places.pop(one, None)

    def _put(self, one: U, queue: _Queue[U], when: float) -> None:
        self._given += 1
        self._places[one] = self._given
        queue.put(one, self._given, when)

    def oldest(self, unwritten: float, written: float, may_leave: Callable[[U], bool]) -> Generator[U]:
        """Those that may leave: first those under whose keys nothing was ever written and which were not used since ``unwritten``, then
        the others that were not used since ``written``, each in the order of their last use. They are out of the order then. One that
        may not leave now counts as used now.
        """
        for queue, before in ((self._unwritten, unwritten), (self._written, written)):
            kept = []
            try:
                while (one := queue.first(self._places, before)) is not None:
                    if queue is self._unwritten and not one.blank:
                        self._put(one, self._written, one.used)
                    elif may_leave(one):
                        del self._places[one]
                        yield one
                    else:
                        kept.append(one)
            finally:
                now = time.monotonic()
                for one in kept:
                    self._put(one, queue, now)
