"""A log in this process's memory."""

from __future__ import annotations

import bisect
import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from via_state.core.holes import before_hole
from via_state.core.records import Batch, LogBounds, Pack, Position

#: In the place of a discarded pack, until there are enough of them to make the list shorter.
GONE = Pack("", 0, 0, b"")
_LAST = operator.attrgetter("last")


@dataclass(slots=True)
class MemoryLog:
    """An append is made by one call, which nothing interrupts: a Ctrl-C, or a signal's handler that appends as well, finds the log as it
    was before or as it is after. ``head`` is the last record; it is brought up to date after that call.
    """

    epoch: str
    floor: Position
    head: Position
    packs: list[Pack] = field(default_factory=list)
    gone: int = 0  # how many at the front are discarded
    # Recent append ids. They leave at the front: a plain dict would pass all that left before, each time.
    appends: OrderedDict[str, tuple[Position, float]] = field(default_factory=OrderedDict)

    @property
    def last(self) -> Position:
        """The position of the last record."""
        pack = self.packs[-1] if self.packs else GONE
        if pack.last <= self.head.offset:
            return self.head
        return Position(self.epoch, pack.last, pack.record_id(pack.last))

    @property
    def bounds(self) -> LogBounds:
        """Both ends."""
        return LogBounds(self.last, self.floor)

    def append(self, append_id: str, count: int, data: bytes, first: Callable[[int], int] | None) -> Position:
        """Append a pack; the position of its last record. ``first``: which offset follows a last one, where that is not the next."""
        packs = self.packs
        while True:
            tail = packs[-1] if packs else GONE
            last = max(self.head.offset, tail.first + tail.count - 1)
            offset = last + 1 if first is None else first(last)
            pack = Pack(append_id, offset, count, data)
            position = Position(self.epoch, offset + count - 1, f"{append_id}-{count - 1}")
            if (packs[-1] if packs else GONE) is tail:  # nobody came in between
                packs.append(pack)
                self.head = position
                return position

    def remember(self, append_id: str, position: Position, now: float, window: float) -> None:
        """Keep the answer to an append for ``window`` seconds. Ids leave oldest first; two looks per append keep up with any rate."""
        self.appends[append_id] = (position, now)
        for one in list(itertools.islice(self.appends, 2)):
            if now - self.appends[one][1] > window:
                del self.appends[one]

    def record_id_at(self, offset: int) -> str | None:
        """Id of the retained record at an offset, None where there is none."""
        index = bisect.bisect_left(self.packs, offset, self.gone, key=_LAST)
        if index == len(self.packs) or not self.packs[index].first <= offset or offset <= self.floor.offset:
            return None
        return self.packs[index].record_id(offset)

    def read(self, after: int, limit: int, dense: bool) -> Batch:
        """As `Backplane.read`."""
        start = max(after, self.floor.offset)
        cursor_id = self.record_id_at(after)
        index = bisect.bisect_right(self.packs, start, self.gone, key=_LAST)
        if dense and (hole := self._hole(after, cursor_id, index)):
            return Batch([], self.last, self.floor, cursor_id, True, hole)
        packs: list[Pack] = []
        records = 0
        for pack in itertools.islice(self.packs, index, None):
            if packs and records + pack.count > limit:
                break
            packs.append(pack)
            records += pack.count
        if dense:
            packs = [*before_hole(packs, start)]
        return Batch(packs, self.last, self.floor, cursor_id, True)

    def _hole(self, after: int, cursor_id: str | None, index: int) -> int:
        """How far records are gone from the cursor on, 0 when none is. ``index``: of the pack that should follow."""
        start = max(after, self.floor.offset)
        following = self.packs[index].first if index < len(self.packs) else self.last.offset + 1
        if following > start + 1:
            return following - 1
        missing = cursor_id is None and self.floor.offset < after <= self.last.offset
        return after if missing else 0

    def raise_floor(self, through: int) -> bool:
        """Discard up to a record; whether there is one. Costs what is discarded, not what stays."""
        record_id = self.record_id_at(through)
        if record_id is None:
            return False
        self.floor = Position(self.epoch, through, record_id)
        keep = bisect.bisect_right(self.packs, through, self.gone, key=_LAST)
        self.packs[self.gone : keep] = [GONE] * (keep - self.gone)
        self.gone = keep
        if keep * 2 >= len(self.packs):
            del self.packs[:keep]
            self.gone = 0
        return True
