"""What `via_for` remembers of a block's last render: each row, and the markup that was made of it.

A row is known by its identity, and where a read makes all objects again, as that of a cell does, by what it says.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from typing import Any, NamedTuple

from via_state.conf import settings
from via_state.live.rendering.exact import NotExact, exactly

#: Bytes of a remembered row beside its markup, about.
ROW = 200
_ATOMS = (str, int, bool, float, bytes, type(None))


class Rows(NamedTuple):
    """The rows of one loop, by the id of each: the object, which so stays the one of that id, and what was made of it.

    ``used`` are the variables that its body used beside the row. ``size``: characters of markup.
    """

    rows: dict[int, tuple[Any, str]]
    used: tuple[Any, ...] = ()
    size: int = 0

    def fits(self, used: tuple[Any, ...]) -> bool:
        """Whether the body would see the same."""
        return len(used) == len(self.used) and all(map(_same, used, self.used))

    def alike(self, rows: list[Any], left: Collection[int]) -> dict[int, str]:
        """The markup of those of these rows, by their ids, that say exactly what one of the rows ``left`` from before says."""
        if not left:
            return {}
        try:
            known = {exactly(row): html for row, html in map(self.rows.__getitem__, left)}
            found = [(id(row), known.get(exactly(row))) for row in rows]
        except (NotExact, RecursionError):
            return {}
        return {key: html for key, html in found if html is not None}


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, _ATOMS) and one == other)


class Memo:
    """Of one block: what the loops of its last render made, and what those of this one make.

    Renders of a block at the same time each see the last finished one. A loop inside another one is met several times: only
    the first is remembered.
    """

    def __init__(self, before: dict[Hashable, Rows] | None = None) -> None:
        self._before = before or {}
        self.loops: dict[Hashable, Rows] = {}

    def rows(self, loop: Hashable, used: tuple[Any, ...]) -> Rows:
        """What is known for a loop whose body sees ``used``."""
        found = self._before.get(loop)
        return found if found is not None and found.fits(used) else Rows({}, used)

    def keep(self, loop: Hashable, rows: Rows) -> None:
        """Remember what a loop made in this render."""
        self.loops.setdefault(loop, rows)

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return sum(loop.size + ROW * len(loop.rows) for loop in self.loops.values())


class Memos:
    """Those of this process: the groups that were rendered last, up to ``LIVE_MEMORY`` in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[dict[Hashable, Rows], int]] = OrderedDict()
        self._size = 0

    def begin(self, group: Hashable) -> Memo:
        """For a render of this group."""
        with self._lock:
            found = self._kept.get(group)
            return Memo(None if found is None else found[0])

    def finished(self, group: Hashable, memo: Memo) -> None:
        """The render is over."""
        size = memo.size
        with self._lock:
            self._drop([group])
            if size:
                self._kept[group], self._size = (memo.loops, size), self._size + size
            while self._size > settings.LIVE_MEMORY and self._kept:
                self._drop([next(iter(self._kept))])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._drop(list(self._kept))

    def _drop(self, groups: Iterable[Hashable]) -> None:
        for group in groups:
            if (found := self._kept.pop(group, None)) is not None:
                self._size -= found[1]


memos = Memos()
