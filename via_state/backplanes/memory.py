"""The default backplane: everything in this process's memory, gone when it ends. No infrastructure at all."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.checks import CheckMessage, Error

from via_state.backplanes.base import Backplane, Hear, Hearing, Ring, Watch, check_key, conflict
from via_state.backplanes.hearings import Hearings, tell
from via_state.core.holes import before_hole
from via_state.core.records import GENESIS, Append, Batch, Cell, Changes, LogBounds, Pack, Position, Revision
from via_state.exceptions import Closed, ViaStateError

__all__ = [
    "MemoryBackplane",
]

EMPTY = LogBounds(GENESIS, GENESIS)
#: Keys whose latest move is remembered, for sweeps. Most sweeps look back a second.
MOVES = 10_000
#: In the place of a discarded pack, until there are enough of them to make the list shorter.
GONE = Pack("", 0, 0, b"")


@dataclass(slots=True)
class _Log:
    epoch: str
    floor: Position
    last: Position
    packs: list[Pack] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # the packs' last offsets, for bisection
    gone: int = 0  # how many at the front are discarded
    # Recent append ids. They leave at the front: a plain dict would pass all that left before, each time.
    appends: OrderedDict[str, tuple[Position, float]] = field(default_factory=OrderedDict)

    def record_id_at(self, offset: int) -> str | None:
        """Id of the retained record at an offset, None where there is none."""
        index = bisect.bisect_left(self.ends, offset, self.gone)
        if index == len(self.packs) or not self.packs[index].first <= offset or offset <= self.floor.offset:
            return None
        return self.packs[index].record_id(offset)

    def raise_floor(self, through: int) -> bool:
        """Discard up to a record; whether there is one. Costs what is discarded, not what stays."""
        record_id = self.record_id_at(through)
        if record_id is None:
            return False
        self.floor = Position(self.epoch, through, record_id)
        keep = bisect.bisect_right(self.ends, through, self.gone)
        self.packs[self.gone : keep] = [GONE] * (keep - self.gone)
        self.gone = keep
        if keep * 2 >= len(self.packs):
            del self.packs[:keep], self.ends[:keep]
            self.gone = 0
        return True


def _hole(log: _Log, after: int, cursor_id: str | None, index: int) -> int:
    """How far records are gone from the cursor on, 0 when none is. ``index``: of the pack that should follow."""
    start = max(after, log.floor.offset)
    following = log.packs[index].first if index < len(log.packs) else log.last.offset + 1
    if following > start + 1:
        return following - 1
    missing = cursor_id is None and log.floor.offset < after <= log.last.offset
    return after if missing else 0


@dataclass(frozen=True, slots=True)
class _Stored:
    """A cell; the times are of `time.monotonic`."""

    data: bytes
    revision: Revision
    written: float
    expires: float

    def seen(self, now: float) -> Cell:
        ttl = None if self.expires == float("inf") else self.expires - now
        return Cell(self.data, self.revision, now - self.written, ttl)


class MemoryBackplane(Backplane):
    """All on the pod's event loop, so that a verb is atomic without locks."""

    shared = False
    durable = False
    compacts = True
    dense = True
    retry_window = 10.0  # no answer gets lost here; this is for the contract
    max_append_bytes = 64 * 1024 * 1024
    max_append_records = 1_000_000
    max_value_bytes = max_append_bytes
    max_message_bytes = max_append_bytes

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options or {})
        self._logs: dict[str, _Log] = {}
        self._cells: dict[str, _Stored] = {}
        self._revs = itertools.count(1)
        self._watches: set[_MemoryWatch] = set()
        self._hearings = Hearings()
        # What moved, in order, the newest mention of a key last: `changed` walks it from its end. Keys come and go
        # with sessions, so it is bounded; `_forgotten` is the time of the newest move that fell out.
        self._moves: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._forgotten = 0
        self._clock = itertools.count(1)
        self._closed = False

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        return [
            Error(
                f"The memory backplane has no option {name!r}.",
                hint="Remove it from VIA_STATE['OPTIONS'], or choose the BACKEND that it belongs to.",
                id="via_state.E020",
            )
            for name in options
            if name not in ("DATABASE", "PREFIX")
        ]

    # Store ------------------------------------------------------------------------------------------------

    async def load_many(self, keys: Iterable[str]) -> dict[str, Cell]:
        self._check_open()
        keys = list(keys)
        for key in keys:
            check_key(key)
        now = time.monotonic()
        found = {key: self._cells[key] for key in keys if key in self._cells}
        return {key: one.seen(now) for key, one in found.items() if one.expires > now}

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        self._check_open()
        self.check_value(key, data)
        now = time.monotonic()
        if self._revision(key, now) != expected:
            raise conflict(key, expected, (await self.load_many([key])).get(key))
        revision = Revision(next(self._revs), secrets.token_hex(8))
        self._cells[key] = _Stored(bytes(data), revision, now, float("inf") if ttl is None else now + ttl)
        self._moved("cell", key)
        return revision

    def _revision(self, key: str, now: float) -> Revision | None:
        one = self._cells.get(key)
        return one.revision if one is not None and one.expires > now else None

    async def cells(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, Cell]:
        self._check_open()
        now = time.monotonic()
        found = (key for key, one in self._cells.items() if key > after and one.expires > now)
        keys = sorted(key for key in found if key.startswith(begin))[:limit]
        return {key: self._cells[key].seen(now) for key in keys}

    async def prune(self, limit: int = 1000) -> int:
        self._check_open()
        now = time.monotonic()
        expired = (key for key, one in self._cells.items() if one.expires <= now)
        gone = list(itertools.islice(expired, limit))
        for key in gone:
            del self._cells[key]
            self._moved("cell", key)
        return len(gone)

    # Event log --------------------------------------------------------------------------------------------

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        self._check_open()
        self.check_append(key, count, data)
        log = self._logs.get(key)
        if log is None:
            epoch = uuid.uuid4().hex
            log = self._logs[key] = _Log(epoch, Position(epoch, 0, ""), Position(epoch, 0, ""))
        now = time.monotonic()
        if append_id in log.appends:
            return log.appends[append_id][0]
        pack = Pack(append_id, self._first_offset(log.last.offset), count, bytes(data))
        log.packs.append(pack)
        log.ends.append(pack.last)
        log.last = Position(log.epoch, pack.last, pack.record_id(pack.last))
        log.appends[append_id] = (log.last, now)
        self._forget_appends(log, now)
        self._moved("log", key)
        return log.last

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        self._check_open()
        refused, sound = self.checked_appends(appends)
        return refused | {one.key: await self.append(one.key, one.append_id, one.count, one.data) for one in sound}

    def _first_offset(self, last: int) -> int:
        """Of the pack that follows ``last``."""
        return last + 1

    def _forget_appends(self, log: _Log, now: float) -> None:
        """Append ids leave with the retry window, oldest first; two looks per append keep up with any rate."""
        for append_id in list(itertools.islice(log.appends, 2)):
            if now - log.appends[append_id][1] > self.retry_window:
                del log.appends[append_id]

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        self._check_key(key)
        log = self._logs.get(key)
        if log is None:
            return Batch([], GENESIS, GENESIS, None, True)
        start = max(after.offset, log.floor.offset)
        cursor_id = log.record_id_at(after.offset)
        index = bisect.bisect_right(log.ends, start, log.gone)
        if self.dense and (hole := _hole(log, after.offset, cursor_id, index)):
            return Batch([], log.last, log.floor, cursor_id, True, hole)
        packs: list[Pack] = []
        records = 0
        while index < len(log.packs) and (not packs or records + log.packs[index].count <= limit):
            packs.append(log.packs[index])
            records += log.packs[index].count
            index += 1
        if self.dense:
            packs = [*before_hole(packs, start)]
        return Batch(packs, log.last, log.floor, cursor_id, True)

    async def head(self, key: str) -> LogBounds:
        self._check_key(key)
        log = self._logs.get(key)
        return EMPTY if log is None else LogBounds(log.last, log.floor)

    async def changed(self, cursor: object | None) -> Changes:
        self._check_open()
        logs: dict[str, LogBounds] = {}
        cells: dict[str, Revision | None] = {}
        now = next(self._clock)
        if cursor is not None and not (isinstance(cursor, int) and self._forgotten <= cursor <= now):
            return Changes(logs, cells, True, now)
        if isinstance(cursor, int):
            for (kind, key), moved in reversed(self._moves.items()):
                if moved <= cursor:
                    break
                if kind == "log":
                    logs[key] = await self.head(key)
                else:
                    cells[key] = self._revision(key, time.monotonic())
        return Changes(logs, cells, False, now)

    def watch(self, ring: Ring) -> Watch:
        self._check_open()
        watch = _MemoryWatch(self._watches, ring)
        self._watches.add(watch)
        return watch

    async def drop(self, key: str, last: Position | None = None) -> None:
        self._check_key(key)
        log = self._logs.get(key)
        if log is not None and last in (None, log.last):
            del self._logs[key]
            self._moved("log", key)

    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        self._check_open()
        keys = sorted(key for key in self._logs if key > after and key.startswith(begin))[:limit]
        return {key: LogBounds(self._logs[key].last, self._logs[key].floor) for key in keys}

    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        self._check_key(key)
        log = self._logs.get(key)
        if log is None:
            return 0
        if epoch not in (None, log.epoch):
            return log.floor.offset
        if log.raise_floor(min(through, log.last.offset)):
            self._moved("log", key)
        return log.floor.offset

    # Messages ---------------------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> None:
        self._check_open()
        self.check_message(topic, data)
        asyncio.get_running_loop().call_soon(self._hearings.heard, topic, bytes(data))

    def hear(self, topic: str, hear: Hear) -> Hearing:
        self._check_open()
        self.check_message(topic)
        hearing = self._hearings.add(topic, hear)
        self._hearings.hold([topic])
        return hearing

    # ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        self._closed = True
        self._watches.clear()
        self._hearings.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This memory backplane was closed.")

    def _check_key(self, key: str) -> None:
        self._check_open()
        check_key(key)

    def _moved(self, kind: str, key: str) -> None:
        self._moves.pop((kind, key), None)
        self._moves[kind, key] = next(self._clock)
        if len(self._moves) > MOVES:
            self._forgotten = self._moves.pop(next(iter(self._moves)))
        for watch in tuple(self._watches):
            watch.rang(key)


class _MemoryWatch(Watch):
    def __init__(self, watches: set[_MemoryWatch], ring: Ring) -> None:
        self._watches, self._ring = watches, ring
        self._keys: set[str] = set()

    def add(self, key: str) -> None:
        self._keys.add(key)

    def discard(self, key: str) -> None:
        self._keys.discard(key)

    def rang(self, key: str) -> None:
        if key in self._keys:
            tell(self._ring, key)

    async def close(self) -> None:
        self._watches.discard(self)
