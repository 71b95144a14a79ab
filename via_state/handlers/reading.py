"""What was read of a log for a handler, and is not delivered yet."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from via_state.core.delivery import Record
from via_state.core.records import LogBounds, Position

#: Seconds for which what a batch proves is relied on: a pack may hold more records than are delivered in that time, and a
#: restored log must be noticed.
FRESH = 2.0


class Reading:
    """The records of one batch after a position. One pack may hold any number: they are taken, and decoded, in portions.

    ``ends``: those of the log when it was read. ``rest``: how many records there are after those that were taken.
    """

    def __init__(self, records: Iterator[Record], after: Position, ends: LogBounds) -> None:
        self._records = records
        self._after = after
        self._until = time.monotonic() + FRESH
        self._taken: list[Record] = []
        self.ends = ends
        self.rest = 0

    def take(self, limit: int) -> list[Record]:
        """The next records, ``limit`` at most. They are taken until they are passed."""
        more = list(itertools.islice(self._records, max(0, limit - len(self._taken))))
        self._taken += more
        self.rest = max(0, self.rest - len(more))
        return self._taken

    def passed(self, position: Position) -> int:
        """Everything up to ``position`` is done; how many of the taken ones that were."""
        left = [record for record in self._taken if record.position.offset > position.offset]
        count, self._taken, self._after = len(self._taken) - len(left), left, position
        return count

    def serves(self, position: Position) -> bool:
        """Whether it has records after ``position``, and is fresh."""
        return position == self._after and bool(self.take(1)) and time.monotonic() < self._until
