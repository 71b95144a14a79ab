"""This pod's copies of cells: read through on first use, replaced when a doorbell or the sweep says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.core.cells import RESET_TTL, CellState, Holds, Write, holds_of
from via_state.core.records import Cell, Revision
from via_state.core.specs import CellSpec
from via_state.exceptions import (
    BackplaneUnavailable,
    CellFromNewerVersion,
    CellUnreadable,
    Closed,
    SessionEnded,
    ViaStateError,
)
from via_state.pod.reading.subscribers import Subscribers
from via_state.pod.writing.cell_write import CellWrite
from via_state.runtime.backoff import Backoff
from via_state.runtime.kept_errors import again

T = TypeVar("T")
logger = logging.getLogger("via_state.cells")

HOT_PAUSE = 0.02  # seconds between two loads of a cell that never rests
TOUCH_AFTER = 0.1  # of the time to live: how often an expiring cell that is in use is renewed


class Read(NamedTuple, Generic[T]):
    """What a cell held. ``state`` and ``revision`` are None for an absent one; where there is no value ``value`` is the zero
    value.

    ``written`` and ``expires`` are times of this process's `time.monotonic`, counted from what the store said: never
    compared with another machine's clock.
    """

    value: T
    state: CellState[T] | None = None
    revision: Revision | None = None
    data: bytes = b""
    written: float = 0.0
    expires: float = math.inf

    @property
    def writes(self) -> Sequence[Write]:
        return () if self.state is None else self.state.writes

    @property
    def empty(self) -> bool:
        return self.state is None or self.state.holds is not Holds.VALUE


class CachedCell(Generic[T]):
    """One cell on this pod. `value` goes back to an older write only where the store did."""

    __slots__ = (
        "__weakref__",
        "_again",
        "_backplane",
        "_moved",
        "_touching",
        "current",
        "error",
        "key",
        "loaded",
        "spec",
        "stored",
        "subscribers",
        "task",
        "used",
    )

    def __init__(self, key: str, spec: CellSpec[T], backplane: Backplane) -> None:
        self.key = key
        self.spec = spec
        self._backplane = backplane
        self.current: Read[T] = Read(spec.initial())
        #: The revision that was seen last, also of a value that can't be read.
        self.stored: Revision | None = None
        self.loaded = False
        #: Why the stored value can't be shown; `current` is then the last good one.
        self.error: ViaStateError | None = None
        self.subscribers = Subscribers()
        self.used = time.monotonic()
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
        return self.stored

    @property
    def expired(self) -> bool:
        """The store may have forgotten it: ask before it is shown."""
        return self.current.expires <= time.monotonic()

    def value(self) -> T:
        """The value to hand out. Raises where there is none: the stored one can't be read and there is no older one."""
        if self.error is not None and self.current.empty:
            raise again(self.error)
        return self.current.value

    def private(self, read: Read[T]) -> T:
        """A value that belongs to the caller alone: an update that changes it in place must not change `current`."""
        if read.empty:
            return self.spec.initial()
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
                telemetry.CallFailed().emit()
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
            before, asked = self._moved, time.monotonic()
            cell = await self._backplane.load(self.key)
            # Nothing was taken over meanwhile: the store is right, even when it was restored and is older.
            if self._moved == before or (cell is not None and self._newer(cell.revision)):
                return self._take(cell, asked)

    def _newer(self, revision: Revision) -> bool:
        return self.stored is None or revision == self.stored or revision.number > self.stored.number

    def _take(self, cell: Cell | None, asked: float) -> Read[T]:
        """Take over what the store said when it was ``asked``, at that time or later."""
        if cell is None:
            return self._replace(Read(self.spec.initial()))
        expires = math.inf if cell.ttl is None else asked + cell.ttl
        if cell.revision == self.stored and self.loaded and self.error is None:
            self.current = self.current._replace(expires=expires)
            return self.current
        self.stored = cell.revision
        try:
            state = self.spec.codec.decode(cell.data)
        except (CellUnreadable, CellFromNewerVersion) as error:
            self.loaded = True
            self.error = type(error)(f"The cell {self.key!r}: {error}")
            raise again(self.error) from error
        value = state.value if state.holds is Holds.VALUE else self.spec.initial()
        return self._replace(Read(value, state, cell.revision, cell.data, asked - cell.age, expires))

    def _replace(self, read: Read[T]) -> Read[T]:
        moved = read.revision != self.current.revision or not self.loaded or self.error is not None
        self.loaded, self.error = True, None
        self.current, self.stored = read, read.revision
        if moved:
            self._moved += 1
            self.subscribers.ring()
        return read

    async def write(self, base: Read[T], value: T, deadline: float) -> bool:
        """Replace the value that ``base`` was read with; False when another writer was first.

        ``deadline`` (of ``time.monotonic``) bounds the attempts while the backplane is away.
        """
        if base.state is not None and base.state.holds is Holds.ENDED:
            raise SessionEnded(
                f"{self.key!r} belongs to a session that was ended by a logout. Bind to the new session."
            )
        write = CellWrite.of(
            self.key,
            base.revision,
            base.writes,
            base.written,
            self.spec.ttl,
            lambda **history: self.spec.codec.encode(value, **history),
        )
        return await self._put(write, deadline)

    async def reset(self, force: bool, deadline: float) -> None:
        """Let the initial value show. A value that can't be read goes only with ``force``. A session that was ended stays so."""
        while True:
            asked, cell = time.monotonic(), await self._backplane.load(self.key)
            if cell is None or holds_of(cell.data) is not Holds.VALUE:
                self._take(cell, asked)
                return
            if not force:
                self._take(cell, asked)
            if await self._put(CellWrite.emptying(self.key, Holds.RESET, cell, asked, RESET_TTL), deadline):
                return

    async def end(self, deadline: float) -> None:
        """Leave a tombstone: reads give the initial value and writes raise `SessionEnded`, until it expires."""
        while True:
            asked, cell = time.monotonic(), await self._backplane.load(self.key)
            if await self._put(CellWrite.emptying(self.key, Holds.ENDED, cell, asked, self.spec.ttl), deadline):
                return

    async def _put(self, write: CellWrite, deadline: float) -> bool:
        before = self._moved
        landed = await write.land(self._backplane, deadline)
        if landed is None:
            return False
        cell, asked = landed
        # Otherwise a later write is known already, and ours is in its history.
        if self._moved == before or self._newer(cell.revision):
            # A later write can't be read: ours is done all the same.
            with contextlib.suppress(CellUnreadable, CellFromNewerVersion):
                self._take(cell, asked)
        return True

    def touch_if_old(self) -> None:
        """Renew the time to live of a cell in use. On the loop; failing is harmless, the next use tries again."""
        if self.spec.ttl is None or self.current.empty or self._touching:
            return
        if time.monotonic() - self.current.written < self.spec.ttl * TOUCH_AFTER:
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
