"""One update: rounds of compare-and-swap around a function that the caller runs."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from via_state import telemetry
from via_state.conf import settings
from via_state.core.records import Revision
from via_state.core.specs import CellSpec
from via_state.exceptions import LoopEnded, UpdateContended, ValueRefused
from via_state.pod.reading.cell_copy import CellCopy, Read
from via_state.pod.reading.replicas import Replicas
from via_state.runtime.backoff import Backoff, patiently
from via_state.runtime.loop import LoopThread

T = TypeVar("T")

MISSING: Final = object()
#: Seconds: the longest first pause of an update that was beaten twice, and the longest one of all. Several rounds of others: shorter pauses only
#: make it lose again.
PAUSES = (0.05, 0.1)
#: What `CellUpdate.offer` gives when the round was won.
WON: Final = object()


class CellUpdate:
    """Its steps run on the pod's loop, the caller's function between them in the caller's thread or task.

    Updates of one process take turns, so that none of them is beaten by another one. Where another process was first its value comes
    with the refusal, and the next round begins with that at once; who is beaten again pauses before it looks.
    """

    def __init__(self, thread: LoopThread, replicas: Replicas, key: str, spec: CellSpec[Any]) -> None:
        self._thread, self._replicas, self._key, self._spec = thread, replicas, key, spec
        self._started = time.monotonic()
        self._deadline: float = self._started + settings.UPDATE_TIMEOUT
        self._backoff = Backoff(*PAUSES)
        self._lost = 0
        self._cell: CellCopy[Any] | None = None
        self._base: Read[Any]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the turn to others, where the function raised."""
        if self._cell is not None and self._cell.turns.holder is self:
            with suppress(LoopEnded):
                self._thread.soon(self._cell.turns.leave, self)

    def cached(self) -> Any:
        """The pod's copy to start from, or `MISSING`. From any thread: it saves the first round a way to the loop."""
        cell = self._replicas.loaded_cell(self._key)
        if cell is None or not _usable(cell) or not cell.turns.take_free(self):
            return MISSING
        self._cell, self._base = cell, cell.current
        return cell.private(self._base)

    async def current(self) -> Any:
        """The value to start the first round from, when it is this update's turn."""
        cell = self._cell = self._replicas.cell(self._key, self._spec)
        await cell.turns.take(self, self._left)
        return await self._value(cell, load=not _usable(cell))

    async def _value(self, cell: CellCopy[Any], *, load: bool) -> Any:
        self._base = await patiently(self._left, f"Loading {self._key!r}", cell.load) if load else cell.current
        return cell.private(self._base)

    @property
    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.1)

    @property
    def revision(self) -> Revision | None:
        """What the store holds once a round has won: that write, or a later one. From any thread."""
        return None if self._cell is None else self._cell.stored

    async def offer(self, value: Any) -> Any:
        """Write the new value: `WON`; or, when another writer was first, the value with which the function must run again."""
        cell = self._cell
        assert cell is not None, "current() comes first"
        if await cell.write(self._base, value, self._deadline):
            cell.turns.leave(self)
            self._ended("ok")
            return WON
        self._lost += 1
        telemetry.UpdateContended(self._key, self._spec.name).emit()
        if time.monotonic() >= self._deadline:
            self._ended("contended")
            raise UpdateContended(
                f"{self._key!r}: other writers won {self._lost} rounds in a row. Nothing was written. "
                "For a hot key declare a StateAppEvents: appends never conflict. A function that writes this key itself always loses."
            )
        if again := self._lost > 1:
            await self._backoff.pause()
        await cell.turns.take(self, self._left)
        return await self._value(cell, load=again or not _usable(cell))

    def _ended(self, outcome: str) -> None:
        seconds = time.monotonic() - self._started
        telemetry.UpdateEnded(self._key, self._spec.name, seconds, outcome).emit()


def _usable(cell: CellCopy[Any]) -> bool:
    return cell.loaded and cell.error is None and not cell.expired


def at_hand(key: str, value: T) -> T:
    """What the function of a sync update gave. Raises `ValueRefused` for what has to be awaited first."""
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value):
        value.close()
    raise ValueRefused(
        f"{key!r}: the new value must be awaited first. Nothing was written. With an async function write: await aupdate(...)"
    )
