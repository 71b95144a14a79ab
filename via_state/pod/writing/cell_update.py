"""One update: rounds of compare-and-swap around a function that the caller runs."""

from __future__ import annotations

import time
from typing import Any, Final

from via_state import telemetry
from via_state.conf import settings
from via_state.core.records import Revision
from via_state.core.specs import CellSpec
from via_state.exceptions import UpdateContended
from via_state.pod.reading.cell_copy import CellCopy, Read
from via_state.pod.reading.replicas import Replicas
from via_state.runtime.backoff import Backoff, patiently

MISSING: Final = object()


class CellUpdate:
    """Its two steps run on the pod's loop, the caller's function between them in the caller's thread or task."""

    def __init__(self, replicas: Replicas, key: str, spec: CellSpec[Any]) -> None:
        self._residents, self._key, self._spec = replicas, key, spec
        self._started = time.monotonic()
        self._deadline = self._started + settings.UPDATE_TIMEOUT
        self._backoff = Backoff(base=0.001, cap=0.05)
        self._cell: CellCopy[Any] | None = None
        self._base: Read[Any]

    def cached(self) -> Any:
        """The pod's copy to start from, or `MISSING`. From any thread: it saves the first round a way to the loop."""
        cell = self._residents.loaded_cell(self._key)
        if cell is None or cell.error is not None or cell.expired:
            return MISSING
        self._cell, self._base = cell, cell.current
        return cell.private(self._base)

    async def current(self) -> Any:
        """The stored value, to start a round from."""
        cell = self._cell = self._residents.cell(self._key, self._spec)
        left = max(self._deadline - time.monotonic(), 0.1)
        self._base = await patiently(left, f"Loading {self._key!r}", cell.load)
        return cell.private(self._base)

    @property
    def revision(self) -> Revision | None:
        """What the store holds once a round has won: that write, or a later one. From any thread."""
        return None if self._cell is None else self._cell.stored

    async def offer(self, value: Any) -> bool:
        """Write the new value; False when another writer was first and the function must run again."""
        assert self._cell is not None, "current() comes first"
        if await self._cell.write(self._base, value, self._deadline):
            self._ended("ok")
            return True
        telemetry.UpdateContended(self._key, self._spec.name).emit()
        if time.monotonic() >= self._deadline:
            self._ended("contended")
            raise UpdateContended(
                f"{self._key!r}: other writers won {self._backoff.attempts + 1} rounds in a row. Nothing was written. "
                "For a hot key declare a StateAppEvents: appends never conflict."
            )
        await self._backoff.pause()
        return False

    def _ended(self, outcome: str) -> None:
        seconds = time.monotonic() - self._started
        telemetry.UpdateEnded(self._key, self._spec.name, seconds, outcome).emit()
