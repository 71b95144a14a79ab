"""When a group renders again: the first change at once, then no oftener than its rate and its cost allow."""

from __future__ import annotations

import math

#: A group takes at most a tenth of a core: from one render to the next it waits ten times what the first took.
SHARE = 10


class Pacing:
    """The pace of one group. Times are seconds of any clock that does not run backwards."""

    __slots__ = ("_next", "_rate")

    def __init__(self, rate: float) -> None:
        """``rate`` is renders per second at most."""
        self._rate = rate
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """For how long a change that is known now must wait; 0 when it may render at once."""
        return max(0.0, self._next - now)

    def rendered(self, began: float, ended: float) -> None:
        """A render ran from ``began`` to ``ended``."""
        self._next = began + max(1 / self._rate, SHARE * (ended - began))
