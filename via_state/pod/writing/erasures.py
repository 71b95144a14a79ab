"""What an owner leaves behind is erased when the owner is deleted.

A deletion inserts a row in its own transaction. After the commit its process erases the state; when that process dies, or the
backplane is away, the row stays, and any process tries again. Erasing twice is harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from django.db import connections, transaction

from via_state import telemetry
from via_state.bookkeeping.database.commits import after_commit
from via_state.bookkeeping.erasures import ErasureStore
from via_state.conf import settings
from via_state.core.cells import RESET_TTL, Holds, holds_of
from via_state.core.records import Position
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown, ViaStateError
from via_state.logs import Sparing
from via_state.pod.members import written
from via_state.pod.writing.cell_write import CellWrite
from via_state.runtime.periodic import Periodic

if TYPE_CHECKING:
    from via_state.pod.pod import Pod

logger = logging.getLogger("via_state.erasures")


class Erasures(Periodic):
    """Those of one pod. ``ask`` is called in the transaction that deletes the owner."""

    def __init__(self, pod: Pod, store: ErasureStore) -> None:
        super().__init__("The erasing of owners", self.sweep, lambda: settings.OUTBOX_INTERVAL)
        self._pod = pod
        self._backplane = pod.backplane
        self.store = store
        self._sparing = Sparing()

    def ask(self, home: str, keys: Sequence[str], using: str) -> None:
        """Erase ``keys`` of the owner at ``home``, and the members of families that are listed there, when ``using`` commits."""
        after = self._ring if self._note(home, keys, using) else partial(self._note_late, home, keys)
        if connections[using].in_atomic_block:
            after = partial(after_commit, after, "erasure", f"the deletion of the owner of {home!r}")
        transaction.on_commit(after, using=using)

    def _note(self, home: str, keys: Sequence[str], using: str) -> bool:
        """Whether it is noted. That it can't be must not prevent the deletion."""
        try:
            return self.store.note(home, keys, using)
        except BackplaneUnavailable as error:
            telemetry.ErasureFailed().emit()
            logger.error("That the state of a deleted owner is to be erased could not be noted.", exc_info=error)
            return False

    def _note_late(self, home: str, keys: Sequence[str]) -> None:
        """Where the owner was in another database than ours, or nothing could be noted with its deletion."""
        if self._note(home, keys, settings.DATABASE):
            self._ring()
        else:
            self._erase_now(home, keys)

    def _erase_now(self, home: str, keys: Sequence[str]) -> None:
        self._pod.thread.call(self.erase(home, keys))

    def _ring(self) -> None:
        self._pod.thread.soon(self._begin)

    # On the loop -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._pod.begin()
        self.ring()

    async def sweep(self) -> None:
        """Erase what was asked for, those first that failed least often."""
        while rows := await self.store.waiting():
            done: list[int] = []
            failed: dict[int, str] = {}
            for row in rows:
                try:
                    await self.erase(row.home, row.keys)
                    done.append(row.id)
                except Exception as error:
                    telemetry.ErasureFailed().emit()
                    failed[row.id] = f"{type(error).__name__}: {error}"
                    if self._sparing.due(type(error)):
                        logger.warning(
                            "The state of a deleted owner could not be erased, and will be tried again: %s", error
                        )
                    if isinstance(error, BackplaneUnavailable | OutcomeUnknown):
                        break  # the others would fail as well
            await self.store.keep(done, failed)
            if failed:
                return

    settle = sweep

    async def erase(self, home: str, keys: Sequence[str]) -> None:
        """Remove the values and logs, those that the home lists as well, and the list. Tombstones stay."""
        for key in dict.fromkeys([*keys, *await written(self._backplane, home)]):
            await self.remove(f"{home}.{key}")
            await self.remove_log(f"{home}.{key}")
        await self.remove(home)

    async def remove_log(self, key: str, last: Position | None = None) -> bool:
        """Remove a log, with all that is kept about it; False where it holds nothing, or more than up to ``last``."""
        head = await self._backplane.head(key)
        held = bool(head.position.offset)
        if held:
            await self._backplane.drop(key, last)
            if (await self._backplane.head(key)).position.offset:
                return False  # something was appended meanwhile
        # After the drop: a worker that finds the records without a position of its own would handle them again.
        await self.store.forget(key)
        if (projector := self._pod.replicas.loaded_log(key)) is not None:
            projector.ring()
        return held

    async def remove(self, key: str) -> bool:
        """Remove one value, whatever it is; False where there is none."""
        while True:
            asked, cell = time.monotonic(), await self._backplane.load(key)
            if cell is None or holds_of(cell.data) is not Holds.VALUE:
                return False
            write = CellWrite.emptying(key, Holds.RESET, cell, asked, RESET_TTL)
            if not (await write.land(self._backplane, deadline=asked)).won:
                continue
            if (resident := self._pod.replicas.loaded_cell(key)) is not None:
                with suppress(ViaStateError):
                    await resident.load()  # at once: what is read here next must not be the old value
            return True
