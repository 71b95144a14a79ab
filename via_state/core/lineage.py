"""The snapshots of one log by one code, in the order they were made: who makes the next one, and what it settles.

Times are seconds since 1970 by the clock of whatever stores the lineage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from via_state.core.records import GENESIS, Position


class Pin(NamedTuple):
    """Records after ``offset`` must stay: ``why``, for people."""

    offset: int
    why: str


class Verdict(Enum):
    """What became of a snapshot that was offered."""

    SAVED = "saved"
    HELD = "somebody else makes the snapshots now"
    COVERED = "the stored one is as new, or newer"
    DIVERGED = "the stored one has the same position and another value"
    STOPPED = "two pods had different values: there are no more snapshots of this code"


@dataclass(slots=True)
class Lineage:
    """``newest`` is the position of the stored snapshot, `GENESIS` while there is none: this code then folds from the start.

    ``marked`` is the position of an older snapshot that settles when it is old enough. What is ``settled`` may be
    compacted; ``compacted`` is what was decided to be. ``holder`` makes the snapshots until ``held_until``.
    """

    newest: Position = GENESIS
    saved_at: float = 0.0
    digest: str = ""
    marked: int = 0
    marked_at: float = 0.0
    settled: int = 0
    compacted: int = 0
    holder: str = ""
    held_until: float = 0.0
    diverged: str = ""

    def offer(
        self,
        position: Position,
        digest: str,
        *,
        holder: str,
        now: float,
        lease: float,
        min_age: float,
        disproven: Position | None = None,
    ) -> Verdict:
        """Take a snapshot in, if it goes on from the stored one. One that history disproved is replaced, whatever it covers."""
        if self.diverged:
            return Verdict.STOPPED
        if position == self.newest and digest != self.digest:
            self.diverged = f"two values at offset {position.offset}: {self.digest} and {digest}"
            return Verdict.DIVERGED
        replaces = disproven is not None and disproven == self.newest
        if position.offset <= self.newest.offset and not replaces:
            return Verdict.COVERED
        if self.holder != holder and now < self.held_until:
            return Verdict.HELD
        if replaces:
            self.marked, self.marked_at = 0, 0.0
            self.settled = min(self.settled, self.compacted)
        else:
            self._settle(now - min_age)
        self.newest, self.saved_at, self.digest = position, now, digest
        self.holder, self.held_until = holder, now + lease
        return Verdict.SAVED

    def _settle(self, old: float) -> None:
        """Before another snapshot takes the newest one's place: what is from ``old`` or earlier settles."""
        if self.newest.offset and self.saved_at <= old:
            self.settled, self.marked, self.marked_at = self.newest.offset, 0, 0.0
        elif self.marked and self.marked_at <= old:
            self.settled, self.marked, self.marked_at = self.marked, self.newest.offset, self.saved_at
        elif not self.marked:
            self.marked, self.marked_at = self.newest.offset, self.saved_at

    def begin(self, position: Position, digest: str, *, now: float, unusable: Position | None) -> bool:
        """Take in what a migration made, unless there is a snapshot already other than the ``unusable`` one."""
        if self.newest.offset and self.newest != unusable:
            return False
        self.newest, self.saved_at, self.digest = position, now, digest
        self.marked, self.marked_at = 0, 0.0
        return True

    def release(self, holder: str) -> None:
        """Let the next one make snapshots at once."""
        if self.holder == holder:
            self.held_until = 0.0

    def matured(self, old: float) -> int:
        """The offset that has settled by now."""
        return max(self.settled, self.marked if self.marked_at <= old else 0)

    def relied_on(self, old: float) -> int:
        """The offset of the newest snapshot that was there at ``old``: other code relies on no older one."""
        return max(self.matured(old), self.newest.offset if self.saved_at <= old else 0)


def decide_floor(own: Lineage, others: Iterable[tuple[str, Lineage]], pins: Iterable[Pin], old: float) -> Pin:
    """How far a log may be compacted, and what keeps it from going further.

    ``own`` is the lineage of whoever asks; ``others`` are those of other code, by fingerprint. ``old``: snapshots from then
    or earlier are old enough to rely on.
    """
    if own.diverged:
        return Pin(own.compacted, f"its fold is not the same everywhere: {own.diverged}")
    lowest = Pin(own.matured(old), "the snapshot before the newest one, and its age")
    for fingerprint, other in others:
        pin = Pin(other.relied_on(old), f"the snapshots of code {fingerprint}")
        lowest = min(lowest, pin, key=_offset)
    return min([lowest, *pins], key=_offset)


def _offset(pin: Pin) -> int:
    return pin.offset
