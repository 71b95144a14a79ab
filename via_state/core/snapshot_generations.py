"""The snapshots of one log by one code, in the order they were made: who makes the next one, and how far the log may then be compacted.

Times are seconds since 1970 by the clock of whatever stores the generations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from via_state.core.records import GENESIS, Position


class RetentionHold(NamedTuple):
    """Records after ``offset`` must stay: ``why``, for people. ``by`` is its kind: "age", as it should be; "code", whose snapshots are not as far;
    "handler"; "divergence"; "unstorable"; "declaration", of ``compact=False`` or of no code.
    """

    offset: int
    why: str
    by: str


class SaveOutcome(Enum):
    """What became of a snapshot that was offered."""

    SAVED = "saved"
    HELD = "somebody else makes the snapshots now"
    COVERED = "the stored one is as new, or newer"
    UNPROVEN = "whether the log still holds what stored ones cover must be looked at first"
    DIVERGED = "the stored one has the same position and another value"
    STOPPED = "two pods had different values: there are no more snapshots of this code"


@dataclass(slots=True)
class Generations:
    """The positions of the snapshots whose data is kept, `GENESIS` for none; without any this code folds from the start.

    ``newest`` is where a start continues. ``candidate`` is an older one that becomes ``compactable`` when it is old enough. Up to the ``compactable`` one
    the log may be compacted: a log that loses its last moments, less than the age, still reaches as far. ``compacted`` is
    what was decided. ``lease_owner`` makes the snapshots until ``lease_until``.
    """

    newest: Position = GENESIS
    saved_at: float = 0.0
    digest: str = ""
    candidate: Position = GENESIS
    candidate_at: float = 0.0
    compactable: Position = GENESIS
    compacted: int = 0
    lease_owner: str = ""
    lease_until: float = 0.0
    diverged: str = ""

    def offer(
        self,
        position: Position,
        digest: str,
        *,
        lease_owner: str,
        now: float,
        lease: float,
        min_age: float,
        proven: Collection[Position] = (),
        disproven: Collection[Position] = (),
    ) -> SaveOutcome:
        """Take a snapshot in, if it continues from the newest one. Its own position was compared with the log.

        So were the ``proven`` ones. Nothing takes the place of older data, and nothing keeps a snapshot out, that was not:
        a log may have lost its last moments. ``disproven`` ones go: the log does not hold their records.
        """
        if self.diverged:
            return SaveOutcome.STOPPED
        if position == self.newest and digest != self.digest:
            self.diverged = f"two values at offset {position.offset}: {self.digest} and {digest}"
            return SaveOutcome.DIVERGED
        if self.lease_owner != lease_owner and now < self.lease_until:
            return SaveOutcome.HELD
        self._forget(disproven)
        if position.offset <= self.newest.offset:
            return (
                SaveOutcome.COVERED if position == self.newest or self.newest in proven else SaveOutcome.UNPROVEN
            )
        compactable, candidate, candidate_at = self._next(now - min_age)
        moves = {
            one for one, before in ((compactable, self.compactable), (candidate, self.candidate)) if one != before
        }
        if not moves <= {GENESIS, *proven}:
            return SaveOutcome.UNPROVEN
        self.compactable, self.candidate, self.candidate_at = compactable, candidate, candidate_at
        self.newest, self.saved_at, self.digest = position, now, digest
        self.lease_owner, self.lease_until = lease_owner, now + lease
        return SaveOutcome.SAVED

    @property
    def kept(self) -> list[Position]:
        """The positions whose data is there, newest first."""
        return [one for one in (self.newest, self.candidate, self.compactable) if one.offset]

    def _forget(self, disproven: Collection[Position]) -> None:
        if self.newest in disproven:
            self.newest, self.saved_at, self.digest = GENESIS, 0.0, ""
        if self.candidate in disproven:
            self.candidate, self.candidate_at = GENESIS, 0.0
        if self.compactable in disproven:
            self.compactable = GENESIS

    def _next(self, old: float) -> tuple[Position, Position, float]:
        """What becomes compactable and candidate once another takes the newest one's place: what is from ``old`` or earlier becomes compactable."""
        if self.newest.offset and self.saved_at <= old:
            return self.newest, GENESIS, 0.0
        if self.candidate.offset and self.candidate_at <= old:
            return self.candidate, self.newest, self.saved_at
        if not self.candidate.offset:
            return self.compactable, self.newest, self.saved_at
        return self.compactable, self.candidate, self.candidate_at

    def begin(self, position: Position, digest: str, *, now: float, unusable: Collection[Position]) -> bool:
        """Take in what a migration made, unless there is a snapshot already other than the ``unusable`` ones."""
        if not {*self.kept} <= {*unusable}:
            return False
        self.newest, self.saved_at, self.digest = position, now, digest
        self.candidate, self.candidate_at, self.compactable = GENESIS, 0.0, GENESIS
        return True

    def release(self, lease_owner: str) -> None:
        """Let the next one make snapshots at once."""
        if self.lease_owner == lease_owner:
            self.lease_until = 0.0

    def compactable_at(self, old: float, proven: Collection[Position]) -> int:
        """The offset up to which the log may be compacted by now, of those that are proven."""
        there = [self.compactable, *([self.candidate] if self.candidate_at <= old else [])]
        return max((one.offset for one in there if one in proven), default=0)

    def relied_on(self, old: float, proven: Collection[Position]) -> int:
        """The offset of the newest proven snapshot that was there at ``old``: other code relies on no older one."""
        newest = self.newest.offset if self.saved_at <= old and self.newest in proven else 0
        return max(self.compactable_at(old, proven), newest)


def decide_floor(
    own: Generations,
    others: Iterable[tuple[str, Generations]],
    holds: Iterable[RetentionHold],
    old: float,
    proven: Collection[Position],
) -> RetentionHold:
    """How far a log may be compacted, and what keeps it from going further.

    ``own`` is the generations of whoever asks; ``others`` are those of other code, by fingerprint. ``old``: snapshots from then
    or earlier are old enough to rely on, if they are ``proven``: the log was seen to hold their records.
    """
    if own.diverged:
        return RetentionHold(own.compacted, f"its fold is not the same everywhere: {own.diverged}", "divergence")
    lowest = RetentionHold(
        own.compactable_at(old, proven), "the snapshot before the newest one, and its age", "age"
    )
    for fingerprint, other in others:
        hold = RetentionHold(other.relied_on(old, proven), f"the snapshots of code {fingerprint}", "code")
        lowest = min(lowest, hold, key=_offset)
    return min([lowest, *holds], key=_offset)


def _offset(hold: RetentionHold) -> int:
    return hold.offset
