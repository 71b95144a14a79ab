"""Which values expire, and when, without a look at all of them."""

from __future__ import annotations

import math
import time
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """A copy of a cell, as it is seen here."""

    @property
    def expires(self) -> float:
        """When its value expires, of `time.monotonic`; ``math.inf`` for never."""


X = TypeVar("X", bound=Expiring)


class Expiries(Generic[X]):
    """Values by the second in which they expire. The store names nobody whose time is up."""

    def __init__(self) -> None:
        self._looked = int(time.monotonic())
        self._by_second: dict[int, set[X]] = {}
        self._seconds: dict[X, int] = {}

    def put(self, one: X) -> None:
        """It expires at another time than before."""
        second = self._seconds.get(one)
        wanted = None if one.expires == math.inf else max(int(one.expires), self._looked)
        if second == wanted:
            return
        self.discard(one)
        if wanted is not None:
            self._seconds[one] = wanted
            self._by_second.setdefault(wanted, set()).add(one)

    def discard(self, one: X) -> None:
        """It left."""
        second = self._seconds.pop(one, None)
        if second is None:
            return
        others = self._by_second[second]
        others.discard(one)
        if not others:
            del self._by_second[second]

    def take(self) -> list[X]:
        """Those that have expired since the last call. Each is given once, until it expires at another time."""
        now = time.monotonic()
        expired: list[X] = []
        for second in range(self._looked, int(now) + 1):
            for one in tuple(self._by_second.get(second, ())):
                if one.expires <= now:
                    self.discard(one)
                    expired.append(one)
        self._looked = int(now)
        return expired
