"""This pod's copies of cells: read through on first use, replaced when a doorbell or the sweep says so."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from via_state import metrics
from via_state.backplanes.base import Backplane
from via_state.core.cells import CellState, LostWrite, Write, judge_lost_write
from via_state.core.records import Cell
from via_state.core.specs import CellSpec
from via_state.exceptions import (
    BackplaneUnavailable,
    CASConflict,
    CellFromNewerVersion,
    CellUnreadable,
    Closed,
    OutcomeUnknown,
    SessionEnded,
    UpdateOutcomeUnknown,
    ViaStateError,
)
from via_state.pod.subscribers import Subscribers
from via_state.runtime.backoff import Backoff

T = TypeVar("T")
logger = logging.getLogger("via_state.cells")

HOT_PAUSE = 0.02  # seconds between two loads of a cell that never rests
TOUCH_AFTER = 0.1  # of the time to live: how often an expiring cell that is in use is renewed


class Read(NamedTuple, Generic[T]):
    """What a cell held at ``rev`` (0: nothing). ``state`` is None for an absent cell; then ``value`` is the zero value."""

    value: T
    state: CellState[T] | None
    rev: int
    data: bytes = b""


class CachedCell(Generic[T]):
    """One cell on this pod. `value` never goes back to an older revision."""

    __slots__ = (
        "__weakref__",
        "_again",
        "_backplane",
        "_moved",
        "_seen",
        "_touching",
        "current",
        "error",
        "key",
        "loaded",
        "spec",
        "subscribers",
        "task",
        "used",
    )

    def __init__(self, key: str, spec: CellSpec[T], backplane: Backplane) -> None:
        self.key = key
        self.spec = spec
        self._backplane = backplane
        self.current: Read[T] = Read(spec.zero(), None, 0)
        self.loaded = False
        #: Why the stored value can't be shown; `current` is then the last good one.
        self.error: ViaStateError | None = None
        self.subscribers = Subscribers()
        self.used = time.monotonic()
        self._seen = 0  # highest revision seen
        self._moved = 0  # counts what was taken over, so that an older answer is recognised
        self.task: asyncio.Task[None] | None = None
        self._again = False
        self._touching = False

    @property
    def idle(self) -> bool:
        """Nobody listens to it and it does nothing: it may be evicted."""
        return self.task is None and not self.subscribers

    @property
    def at(self) -> object:
        """Where it stands: another one whenever it has moved; None while it has nothing."""
        return self.rev or None

    @property
    def rev(self) -> int:
        return self.current.rev

    def value(self) -> T:
        """The value to hand out. Raises where there is none: the stored one can't be read and there is no older one."""
        if self.error is not None and self.current.state is None:
            raise self.error
        return self.current.value

    def private(self, read: Read[T]) -> T:
        """A value that belongs to the caller alone: an update that changes it in place must not change `current`."""
        if read.state is None or read.state.ended:
            return self.spec.zero()
        return self.spec.codec.decode(read.data).value

    def ring(self) -> None:
        """It may have changed: load it again. On the loop."""
        self._again = True
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._reload())
            self.task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            logger.error("Loading the cell %r failed.", self.key, exc_info=error)
        elif self._again:
            self.ring()  # between the last look and this callback

    async def _reload(self) -> None:
        backoff = Backoff()
        while self._again:
            self._again = False
            try:
                await self.load()
            except Closed:
                return
            except BackplaneUnavailable:
                metrics.backplane_errors.inc()
                self._again = True
                await backoff.pause()
            except (CellUnreadable, CellFromNewerVersion) as error:
                logger.error("%s", error)
            if self._again:
                # Rung again while loading: a hot cell. Its values in between are worth nothing to a reader.
                await asyncio.sleep(HOT_PAUSE)

    async def load(self) -> Read[T]:
        """Read the cell from the backplane. Raises `CellUnreadable` or `CellFromNewerVersion`, keeping the last good one."""
        while True:
            before = self._moved
            cell = await self._backplane.load(self.key)
            rev = 0 if cell is None else cell.rev
            if self._moved == before:
                # Nothing was taken over meanwhile: the store is right, even when it was restored and is older.
                self._seen = min(self._seen, rev)
                break
            if rev >= self._seen:
                break
        return self._take(cell)

    def _take(self, cell: Cell | None) -> Read[T]:
        if cell is None:
            return self._replace(Read(self.spec.zero(), None, 0))
        if cell.rev < self._seen:
            return self.current
        if cell.rev == self.current.rev and self.loaded and self.error is None:
            return self.current
        self._seen = cell.rev
        try:
            state = self.spec.codec.decode(cell.data)
        except (CellUnreadable, CellFromNewerVersion) as error:
            self.loaded = True
            self.error = type(error)(f"The cell {self.key!r}: {error}")
            raise self.error from error
        value = self.spec.zero() if state.ended else state.value
        return self._replace(Read(value, state, cell.rev, cell.data))

    def _replace(self, read: Read[T]) -> Read[T]:
        moved = read.rev != self.current.rev or not self.loaded or self.error is not None
        self.loaded, self.error = True, None
        self.current = read
        self._seen = max(self._seen, read.rev)
        if moved:
            self._moved += 1
            self.subscribers.ring()
        return read

    async def write(self, base: Read[T], value: T, deadline: float) -> Read[T] | None:
        """Replace the value that ``base`` was read with; None when another writer was first.

        ``deadline`` (of ``time.monotonic``) bounds the attempts while the backplane is away.
        """
        if base.state is not None and base.state.ended:
            raise SessionEnded(
                f"{self.key!r} belongs to a session that was ended by a logout. Bind to the new session."
            )
        write_id = secrets.token_urlsafe(6)
        writes: Sequence[Write] = () if base.state is None else base.state.writes
        data = self.spec.codec.encode(value, write_id=write_id, writes=writes, now=time.time())
        cell = await self._cas(base.rev, writes, data, write_id, deadline)
        if cell is None:
            return None
        if cell.rev <= self._seen:  # a later write is known already; ours is in the history
            return Read(value, None, cell.rev)
        try:
            return self._take(cell)
        except (CellUnreadable, CellFromNewerVersion):  # a later write; ours is done all the same
            return Read(value, None, cell.rev)

    async def _cas(
        self, expected: int, writes: Sequence[Write], data: bytes, write_id: str, deadline: float
    ) -> Cell | None:
        """The cell with our write in it, perhaps with later ones on top; None when another writer was first."""
        backoff, sent = Backoff(), False
        while True:
            try:
                return Cell(data, await self._backplane.cas(self.key, expected, data, self.spec.ttl))
            except CASConflict:
                if not sent:
                    return None
            except OutcomeUnknown:
                sent = True
            except BackplaneUnavailable:
                if not sent and time.monotonic() >= deadline:
                    raise
            if sent:
                cell, verdict = await self._look(expected, writes, write_id)
                if verdict is LostWrite.APPLIED:
                    return cell
                if verdict is LostWrite.NOT_APPLIED and (0 if cell is None else cell.rev) != expected:
                    return None
                if verdict is LostWrite.UNKNOWN or time.monotonic() >= deadline:
                    raise UpdateOutcomeUnknown(
                        f"A write of {self.key!r} was sent and its answer lost; whether it took effect can't be told. "
                        "Read the value, then decide."
                    )
            await backoff.pause()

    async def _look(
        self, expected: int, writes: Sequence[Write], write_id: str
    ) -> tuple[Cell | None, LostWrite | None]:
        """Whether a write whose answer was lost is in the cell; the verdict is None while the backplane is away."""
        try:
            cell = await self._backplane.load(self.key)
        except BackplaneUnavailable:
            return None, None
        return cell, judge_lost_write(cell, expected_rev=expected, writes=writes, write_id=write_id)

    async def delete(self, force: bool) -> None:
        """Remove the cell. One that can't be read is removed only with ``force``; a tombstone stays, whoever asks."""
        while True:
            try:
                read = await self.load()
                if read.state is not None and read.state.ended:
                    return
                rev = read.rev
            except (CellUnreadable, CellFromNewerVersion):
                if not force:
                    raise
                rev = self._seen
            if rev == 0:
                return
            try:
                await self._backplane.delete(self.key, rev)
            except CASConflict:
                continue
            self.error = None
            self._replace(Read(self.spec.zero(), None, 0))
            return

    async def end(self) -> None:
        """Leave a tombstone: reads give the zero value and writes raise `SessionEnded`, until it expires."""
        data = self.spec.codec.encode_ended(now=time.time())
        while True:
            cell = await self._backplane.load(self.key)
            try:
                rev = await self._backplane.cas(self.key, cell.rev if cell else 0, data, self.spec.ttl)
            except CASConflict:
                continue
            self._take(Cell(data, rev))
            return

    def touch_if_old(self) -> None:
        """Renew the time to live of a cell in use. On the loop; failing is harmless, the next use tries again."""
        state = self.current.state
        if self.spec.ttl is None or state is None or state.ended or self._touching:
            return
        if time.time() - state.touched < self.spec.ttl * TOUCH_AFTER:
            return
        self._touching = True
        task = asyncio.get_running_loop().create_task(self._touch(self.current))
        task.add_done_callback(self._touched)

    async def _touch(self, base: Read[T]) -> None:
        await self.write(base, base.value, time.monotonic())

    def _touched(self, task: asyncio.Task[None]) -> None:
        self._touching = False
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("Renewing %r failed: %s", self.key, error)

    def stop(self) -> None:
        """Stop loading."""
        if self.task is not None:
            self.task.cancel()
