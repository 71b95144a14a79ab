"""This pod's copies of cells: read through on first use, replaced when a doorbell or the sweep says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from via_state.backplanes.base import Backplane
from via_state.core.cells import RESET_TTL, CellState, Holds, Write, holds_of
from via_state.core.records import GENESIS, Cell, Position, Revision
from via_state.core.specs import CellSpec
from via_state.core.visibility import Shown
from via_state.exceptions import (
    BackplaneRefused,
    CellFromNewerVersion,
    CellUnreadable,
    SessionEnded,
    ViaStateError,
)
from via_state.logs import about
from via_state.pod.reading.replica import Looked, Replica
from via_state.pod.writing.cell_write import CellWrite
from via_state.pod.writing.update_turns import UpdateTurns
from via_state.runtime.kept_errors import again
from via_state.runtime.single_flight import Hold, Rest

T = TypeVar("T")
logger = logging.getLogger("via_state.cells")

#: Seconds between two loads of a cell that never rests, and between a write of this pod, which brought what was there, and the first.
HOT_PAUSE = 0.02
#: The latter while this pod updates it: what becomes of the update brings what the doorbell rang for.
UPDATE_PAUSE = 0.1
TOUCH_AFTER = 0.1  # of the time to live: how often an expiring cell that is in use is renewed


class Read(NamedTuple, Generic[T]):
    """What a cell held. ``state`` and ``revision`` are None for an absent one; where there is no value ``value`` is the initial
    value.

    ``error`` says why a later value, which the store has, can't be shown. ``written`` and ``expires`` are times of this process's
    `time.monotonic`, counted from what the store said: never compared with another machine's clock.
    """

    value: T
    state: CellState[T] | None = None
    revision: Revision | None = None
    data: bytes = b""
    written: float = 0.0
    expires: float = math.inf
    error: ViaStateError | None = None

    @property
    def writes(self) -> Sequence[Write]:
        return () if self.state is None else self.state.writes

    @property
    def empty(self) -> bool:
        return self.state is None or self.state.holds is not Holds.VALUE


class CellCopy(Replica[Revision], Generic[T]):
    """One cell on this pod. It goes back to an older write only where the store did.

    ``current`` is replaced as a whole, so any thread may look at it.
    """

    __slots__ = (
        "_asked",
        "_backplane",
        "_hurried",
        "_loaded",
        "_moved",
        "_rang",
        "_told",
        "_touching",
        "_wrote",
        "current",
        "spec",
        "stored",
        "turns",
    )

    def __init__(self, key: str, spec: CellSpec[T], backplane: Backplane, looked: Looked) -> None:
        super().__init__(key, looked, kind="cell")
        self.spec = spec
        self._backplane = backplane
        self.current: Read[T] = Read(spec.initial())
        #: The revision that was seen last, also of a value that can't be read.
        self.stored: Revision | None = None
        self._loaded = False
        self._moved = 0  # counts what was taken over, so that an older answer is recognised
        self._touching: asyncio.Task[None] | None = None
        self._rang = 0.0  # when something may have changed, of `time.monotonic`
        self._asked = self._wrote = -math.inf  # when the store was asked for what is here, and by a write
        self._hurried = False
        self._told = ""  # why the value can't be read, in the log
        #: Whose turn it is to update it.
        self.turns = UpdateTurns()

    @property
    def error(self) -> ViaStateError | None:
        """Why the stored value can't be shown; `current` is then the last good one."""
        return self.current.error

    @property
    def loaded(self) -> bool:
        return self._loaded

    @property
    def at(self) -> object:
        return self.stored

    @property
    def expires(self) -> float:
        """When the store may forget it, of `time.monotonic`; ``math.inf`` for never."""
        return self.current.expires

    @property
    def expired(self) -> bool:
        """The store may have forgotten it: ask before it is shown."""
        return self.expires <= time.monotonic()

    @property
    def shown(self) -> Shown[T]:
        """Value, position and what stands in the way of a later one, of one moment; from any thread."""
        read = self.current
        revision = read.revision
        position = GENESIS if revision is None else Position("", revision.number, revision.write_id)
        return Shown(read.value, position, None if read.error is None else str(read.error))

    def value(self) -> T:
        """The value to hand out. Raises where there is none: the stored one can't be read and there is no older one."""
        read = self.current
        if read.error is not None and read.empty:
            raise again(read.error)
        return read.value

    def private(self, read: Read[T]) -> T:
        """A value that belongs to the caller alone: an update that changes it in place must not change `current`."""
        if read.empty:
            return self.spec.initial()
        return self.spec.codec.decode(read.data).value

    # Loading ----------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"The loading of the cell {self.key!r}"

    def ring(self) -> None:
        self._rang = time.monotonic()
        super().ring()

    def hurry(self) -> None:
        self._hurried = True
        super().hurry()

    async def _catch_up(self) -> Rest:
        hurried, self._hurried = self._hurried, False
        if not hurried and self._asked > self._rang:
            return None  # a write of this pod has brought it
        patience = UPDATE_PAUSE if self.turns.holder is not None else HOT_PAUSE
        if not hurried and (rest := self._wrote + patience - time.monotonic()) > 0:
            self.flight.ring()
            return Hold(rest)
        try:
            await self.load()
            self._told = ""
        except (CellUnreadable, CellFromNewerVersion) as error:
            if self._told != str(error):
                logger.error("%s", error, extra=about(key=self.key, reason="unreadable"))
            self._told = str(error)
        except BackplaneRefused as error:
            refusal = error
            self.waiters.refuse(lambda: again(refusal))  # waiting does not help
            raise
        # Rung again while loading: a hot cell. Its values in between are worth nothing to a reader.
        return Hold(HOT_PAUSE) if self.flight.rung else None

    async def load(self) -> Read[T]:
        """Read the cell from the backplane. Raises `CellUnreadable` or `CellFromNewerVersion`, keeping the last good one."""
        while True:
            self.waiters.reads += 1
            before, asked, number = self._moved, time.monotonic(), self.waiters.reads
            cell = await self._backplane.load(self.key)
            # Nothing was taken over meanwhile: the store is right, even when it was restored and is older.
            if self._moved == before or (cell is not None and self._newer(cell.revision)):
                return self._take(cell, asked, number)

    def _newer(self, revision: Revision) -> bool:
        return self.stored is None or revision == self.stored or revision.number > self.stored.number

    def _take(self, cell: Cell | None, asked: float, number: int = 0) -> Read[T]:
        """Take over what the store said when it was ``asked``, at that time or later, in the read of this ``number``."""
        self._asked = asked
        self._replace(self._decoded(cell, asked), None if cell is None else cell.revision)
        if self.waiters:
            self.waiters.answer(self._reached, number)
        if self.error is not None:
            raise again(self.error)
        return self.current

    def _decoded(self, cell: Cell | None, asked: float) -> Read[T]:
        if cell is None:
            return Read(self.spec.initial())
        expires = math.inf if cell.ttl is None else asked + cell.ttl
        if cell.revision == self.stored and self.loaded and self.error is None:
            return self.current._replace(expires=expires)
        try:
            state = self.spec.codec.decode(cell.data)
        except (CellUnreadable, CellFromNewerVersion) as error:
            told = type(error)(f"The cell {self.key!r}: {error}")
            told.__cause__ = error
            return self.current._replace(error=told)
        value = state.value if state.holds is Holds.VALUE else self.spec.initial()
        return Read(value, state, cell.revision, cell.data, asked - cell.age, expires)

    def _replace(self, read: Read[T], stored: Revision | None) -> None:
        before = self.current
        elsewhere = stored != self.stored
        moved = elsewhere or not self.loaded or str(read.error) != str(before.error)
        self.current, self.stored = read, stored
        self._loaded = True
        self._looked(self, elsewhere)
        if moved:
            self._moved += 1
            self.subscribers.ring()

    def reach(self, revision: Revision) -> asyncio.Future[None] | None:
        """A future that is done once this copy has ``revision`` or a later one; None when it has already. On the loop.

        It raises what `load` raises where that one can't be read.
        """
        if self.loaded and self._reached(revision, fresh=False) is True:
            return None
        future = self.waiters.add(revision)
        self.hurry()
        return future

    def _reached(self, wanted: Revision | None, fresh: bool) -> bool | Exception:
        """What is known about a waiter. ``fresh``: the copy was read after it came."""
        if wanted is None and not fresh:
            return False
        if self.stored is None:
            return fresh  # it expired since, or was reset long ago
        if wanted is not None and self.stored != wanted and self.stored.number <= wanted.number:
            return False
        return True if self.error is None else again(self.error)

    # Writing ----------------------------------------------------------------------------------------------

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
        won, cell, asked = await write.land(self._backplane, deadline)
        # Otherwise a later write is known already, and ours is in its history.
        if self._moved == before or (cell is not None and self._newer(cell.revision)):
            # One that can't be read is another writer's: whoever reads is told.
            with contextlib.suppress(CellUnreadable, CellFromNewerVersion):
                self._take(cell, asked)
            self._wrote = asked
        return won

    def touch_if_old(self) -> None:
        """Renew the time to live of a cell in use. On the loop; failing is harmless, the next use tries again."""
        if self.spec.ttl is None or self.current.empty or self._touching is not None:
            return
        if time.monotonic() - self.current.written < self.spec.ttl * TOUCH_AFTER:
            return
        self._touching = asyncio.get_running_loop().create_task(self._touch(self.current))
        self._touching.add_done_callback(self._touched)

    async def _touch(self, base: Read[T]) -> None:
        await self.write(base, base.value, time.monotonic())

    def _touched(self, task: asyncio.Task[None]) -> None:
        self._touching = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("Renewing %r failed: %s", self.key, error, extra=about(key=self.key))
