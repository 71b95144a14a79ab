"""One write of a cell, sent until it is known what became of it."""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

from via_state.backplanes.base import Backplane
from via_state.core.cells import Holds, LostWrite, Write, encode_nothing, judge_lost_write, writes_of
from via_state.core.records import Cell, Revision
from via_state.core.text import error_line
from via_state.exceptions import (
    BackplaneUnavailable,
    CASConflict,
    OutcomeUnknown,
    UpdateOutcomeUnknown,
    ViaStateError,
)
from via_state.logs import about
from via_state.runtime.backoff import Backoff
from via_state.runtime.patience import send_by

logger = logging.getLogger("via_state.pod")


class Landing(NamedTuple):
    """What became of a write. ``cell`` is what the store said when it was ``asked`` for, of `time.monotonic`, or later: with the write in it,
    perhaps with later ones on top; or, where another writer was first (not ``won``), with that one's.
    """

    won: bool
    cell: Cell | None
    asked: float


@dataclass(frozen=True, slots=True)
class CellWrite:
    """``expected`` and ``writes`` are those of what it replaces; ``write_id`` is the last of the writes in ``data``."""

    key: str
    expected: Revision | None
    writes: Sequence[Write]
    data: bytes
    write_id: str
    ttl: float | None

    @classmethod
    def of(
        cls,
        key: str,
        expected: Revision | None,
        writes: Sequence[Write],
        written: float,
        ttl: float | None,
        encode: Callable[..., bytes],
    ) -> Self:
        """A new one. ``written``: when (of `time.monotonic`) the store got what it replaces."""
        write_id = secrets.token_urlsafe(6)
        data = encode(
            write_id=write_id, writes=writes, pause=0.0 if expected is None else time.monotonic() - written
        )
        return cls(key, expected, writes, data, write_id, ttl)

    @classmethod
    def emptying(cls, key: str, holds: Holds, cell: Cell | None, asked: float, ttl: float | None) -> Self:
        """One that leaves no value in ``cell``, which was read when it was ``asked`` for or later."""
        encode = functools.partial(encode_nothing, holds)
        if cell is None:
            return cls.of(key, None, (), asked, ttl, encode)
        return cls.of(key, cell.revision, writes_of(cell.data), asked - cell.age, ttl, encode)

    async def land(self, backplane: Backplane, deadline: float) -> Landing:
        """Send it until it is known what became of it. ``deadline`` bounds the attempts. Raises `UpdateOutcomeUnknown`, and
        `BackplaneUnavailable` when nothing was sent.
        """
        backoff, first_sent = Backoff(), None
        cause: Exception | None = None
        while True:
            asked = time.monotonic()
            try:
                with send_by(deadline):
                    revision = await backplane.cas(self.key, self.expected, self.data, self.ttl)
                return Landing(True, Cell(self.data, revision, 0.0, self.ttl), asked)
            except CASConflict as error:
                if first_sent is None:
                    return Landing(False, cast("Cell | None", error.cell), asked)
            except OutcomeUnknown as error:
                first_sent, cause = first_sent or asked, error
            except BackplaneUnavailable:
                if first_sent is None and time.monotonic() >= deadline:
                    raise
            except ViaStateError:
                raise
            except Exception as error:  # a fault of the adapter's: nobody knows how far it came
                if not isinstance(cause, type(error)):
                    logger.exception(
                        "A write of %r failed in a way that its backplane should not.",
                        self.key,
                        extra=about(key=self.key),
                    )
                first_sent, cause = first_sent or asked, error
            if first_sent is not None:
                asked = time.monotonic()
                cell, verdict = await self._look(backplane, first_sent)
                if cell is not None and verdict is LostWrite.APPLIED:
                    return Landing(True, cell, asked)
                if verdict is LostWrite.NOT_APPLIED and (None if cell is None else cell.revision) != self.expected:
                    return Landing(False, cell, asked)
                if verdict is LostWrite.UNKNOWN or time.monotonic() >= deadline:
                    raise UpdateOutcomeUnknown(
                        f"A write of {self.key!r} was sent and its answer lost; whether it took effect can't be told "
                        f"({'it broke off' if cause is None else error_line(cause)}). Read the value, then decide."
                    ) from cause
            await backoff.pause()

    async def _look(self, backplane: Backplane, first_sent: float) -> tuple[Cell | None, LostWrite | None]:
        """Whether a write whose answer was lost is in the cell; the verdict is None while the backplane is away."""
        try:
            cell = await backplane.load(self.key)
        except BackplaneUnavailable:
            return None, None
        lasts = self.ttl is None or time.monotonic() - first_sent < self.ttl
        verdict = judge_lost_write(
            cell, expected=self.expected, writes=self.writes, write_id=self.write_id, lasts=lasts
        )
        return cell, verdict
