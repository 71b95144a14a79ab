"""The default backplane: everything in this process's memory, gone when it ends. No infrastructure at all."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage, Error

from via_state.backplanes.base import Backplane, Hear, Hearing, Ring, Watch, check_key, conflict
from via_state.backplanes.hearings import Hearings, tell
from via_state.backplanes.memory_log import MemoryLog
from via_state.core.records import GENESIS, Append, Batch, Cell, Changes, LogBounds, Position, Revision
from via_state.exceptions import Closed, ViaStateError

__all__ = [
    "MemoryBackplane",
]

EMPTY = LogBounds(GENESIS, GENESIS)
#: Keys whose latest move is remembered, for sweeps. Most sweeps look back a second.
MOVES = 10_000


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
    """All on the pod's event loop, but for `append_now`: logs, and what moved, are changed and read under a lock."""

    immediate = True
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
        self._logs: dict[str, MemoryLog] = {}
        self._lock = threading.RLock()  # a signal's handler may append in the middle of an append
        # The ids of `append_now`: of 80 random bits, and a number.
        self._ids, self._id_begins = itertools.count(), secrets.token_hex(10)
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

    def __init_subclass__(cls, **options: Any) -> None:
        """Appends that a class makes in its own way are made in that way."""
        super().__init_subclass__(**options)
        if vars(cls).keys() & {"append", "append_many"}:
            cls.immediate = "append_now" in vars(cls)

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
        self._moved(key)
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
            self._moved(key)
        return len(gone)

    # Event log --------------------------------------------------------------------------------------------

    def append_now(self, key: str, count: int, data: bytes) -> Position:
        self._check_open()
        if key not in self._logs or not 0 < count <= self.max_append_records or len(data) > self.max_append_bytes:
            self.check_append(key, count, data)
        return self._append(key, f"{self._id_begins}{next(self._ids):012x}", count, data)[1]

    def _append(self, key: str, append_id: str, count: int, data: bytes) -> tuple[MemoryLog, Position]:
        with self._lock:
            log = self._logs.get(key)
            if log is None:
                start = Position(uuid.uuid4().hex, 0, "")
                log = self._logs.setdefault(key, MemoryLog(start.epoch, start, start))
            self._note("log", key)
            position = log.append(append_id, count, bytes(data), self._first_offset)
        self._ring(key)
        return log, position

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        self._check_open()
        self.check_append(key, count, data)
        now = time.monotonic()
        before = self._logs.get(key)
        if before is not None and append_id in before.appends:
            return before.appends[append_id][0]
        log, position = self._append(key, append_id, count, data)
        log.remember(append_id, position, now, self.retry_window)
        return position

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        self._check_open()
        refused, sound = self.checked_appends(appends)
        return refused | {one.key: await self.append(one.key, one.append_id, one.count, one.data) for one in sound}

    #: Which offset the pack begins with that follows a last one; None for the next.
    _first_offset: Callable[[int], int] | None = None

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        self._check_key(key)
        with self._lock:
            log = self._logs.get(key)
            if log is None:
                return Batch([], GENESIS, GENESIS, None, True)
            return log.read(after.offset, limit, self.dense)

    async def head(self, key: str) -> LogBounds:
        self._check_key(key)
        with self._lock:
            log = self._logs.get(key)
            return EMPTY if log is None else log.bounds

    async def changed(self, cursor: object | None) -> Changes:
        self._check_open()
        logs: dict[str, LogBounds] = {}
        cells: dict[str, Revision | None] = {}
        with self._lock:
            now = next(self._clock)
            if cursor is not None and not (isinstance(cursor, int) and self._forgotten <= cursor <= now):
                return Changes(logs, cells, True, now)
            if isinstance(cursor, int):
                for (kind, key), moved in reversed(self._moves.items()):
                    if moved <= cursor:
                        break
                    if kind == "log":
                        logs[key] = self._logs[key].bounds if key in self._logs else EMPTY
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
        with self._lock:
            log = self._logs.get(key)
            if log is None or last not in (None, log.last):
                return
            del self._logs[key]
            self._note("log", key)
        self._ring(key)

    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        self._check_open()
        with self._lock:
            keys = sorted(key for key in self._logs if key > after and key.startswith(begin))[:limit]
            return {key: self._logs[key].bounds for key in keys}

    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        self._check_key(key)
        with self._lock:
            log = self._logs.get(key)
            if log is None:
                return 0
            if epoch not in (None, log.epoch):
                return log.floor.offset
            raised = log.raise_floor(min(through, log.last.offset))
            if raised:
                self._note("log", key)
        if raised:
            self._ring(key)
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

    def _moved(self, key: str) -> None:
        """A cell moved."""
        with self._lock:
            self._note("cell", key)
        self._ring(key)

    def _note(self, kind: str, key: str) -> None:
        """Something moves now. Before it does, so that what interrupts this leaves a mention too many, never one too few."""
        moves = self._moves
        moves[kind, key] = next(self._clock)
        moves.move_to_end((kind, key))
        if len(moves) > MOVES:
            oldest = next(iter(moves))
            self._forgotten = moves[oldest]
            del moves[oldest]

    def _ring(self, key: str) -> None:
        for watch in tuple(self._watches):
            watch.rang(key)


class _MemoryWatch(Watch):
    """``ring`` is called on the loop where the watch was made, whatever thread has appended."""

    def __init__(self, watches: set[_MemoryWatch], ring: Ring) -> None:
        self._watches, self._ring = watches, ring
        self._keys: set[str] = set()
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._due: dict[str, None] = {}  # rung by other threads, and not told yet
        self._woken = False

    def add(self, key: str) -> None:
        self._keys.add(key)

    def discard(self, key: str) -> None:
        self._keys.discard(key)

    def rang(self, key: str) -> None:
        """From any thread."""
        if key not in self._keys:
            return
        if threading.get_ident() == self._thread:
            tell(self._ring, key)
            return
        self._due[key] = None
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._tell, context=Context())
            except BaseException as error:
                self._woken = False  # nobody else would try
                if not isinstance(error, RuntimeError):  # the loop is closed: nobody listens any more
                    raise

    def _tell(self) -> None:
        self._woken = False  # before it looks: what is rung from now on wakes it again
        for key in list(self._due):
            self._due.pop(key, None)
            if key in self._keys:
                tell(self._ring, key)

    async def close(self) -> None:
        self._watches.discard(self)
        self._keys.clear()
