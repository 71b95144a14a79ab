"""The fold of one key as a state machine without I/O. Everything subtle about logs is decided here.

The shell reads a batch after `Projection.position` and feeds it; the answer says what happened and what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from operator import length_hint
from traceback import format_exception_only
from typing import Any, Generic, TypeVar

from via_state.core.events import Unreadable
from via_state.core.records import GENESIS, Batch, Pack, Position
from via_state.core.specs import LogSpec

V = TypeVar("V")


class Action(Enum):
    """What the shell does after feeding a batch."""

    AT_HEAD = "wait for a doorbell"
    ADVANCED = "read on"
    RESET = "history was rewritten, the fold started over: read again"
    NEEDS_SNAPSHOT = "records before the floor are gone: seed, or halt_on_gap"
    NEEDS_LEADER = "strange evidence from a replica: read again from the leader"
    HALTED = "wait; try again later"


class HaltReason(Enum):
    """Why a key stands still."""

    FOLD = "fold"  # the fold raised
    NEWER = "newer"  # a record of a newer version of the code
    GAP = "gap"  # a discarded prefix is needed


@dataclass(frozen=True, slots=True)
class Halt:
    """A key that stands still keeps its last good value."""

    reason: HaltReason
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Outcome:
    """What one batch did: numbers of records, and what comes next."""

    action: Action = Action.ADVANCED
    applied: int = 0
    undecodable: int = 0
    unknown: int = 0
    retired: int = 0


class Projection(Generic[V]):
    """``value`` is the fold of the log up to ``position``, at every moment.

    ``skipped_unknown``: a record without a declared event was passed over, so that the value is not the log's truth.
    """

    __slots__ = ("_spec", "halt", "position", "skipped_unknown", "value")

    def __init__(self, spec: LogSpec[V]) -> None:
        self._spec = spec
        self.value: V = spec.zero()
        self.position: Position = GENESIS
        self.halt: Halt | None = None
        self.skipped_unknown = False

    def seed(self, value: V, position: Position) -> None:
        """Continue from a snapshot: ``value`` is the fold up to ``position``."""
        self.value, self.position = value, position
        self.halt, self.skipped_unknown = None, False

    def halt_on_gap(self) -> Outcome:
        """No snapshot covers the floor: stand still rather than fold a log that lacks its beginning."""
        text = f"records after offset {self.position.offset} were discarded, and no snapshot covers them"
        self.halt = Halt(HaltReason.GAP, text)
        return Outcome(Action.HALTED)

    def feed(self, batch: Batch) -> Outcome:
        """Judge the evidence of a batch that was read after `position`, then fold what it brings.

        Feeding the same batch again is harmless, also after a halt in its midst.
        """
        verdict = self._judge(batch)
        if verdict is Action.RESET:
            self.seed(self._spec.zero(), GENESIS)
        if verdict is not None:
            return Outcome(verdict)
        self.halt = None
        outcome = Outcome()
        for pack in batch.packs:
            if pack.last > self.position.offset:
                self._apply(pack, batch.head.epoch, outcome)
            if self.halt is not None:
                outcome.action = Action.HALTED
                return outcome
        if self.position.offset >= batch.head.offset:
            outcome.action = Action.AT_HEAD
        return outcome

    def _judge(self, batch: Batch) -> Action | None:
        """None when the batch continues the history that was folded so far."""
        cursor, head, floor = self.position, batch.head, batch.floor
        if cursor.offset == 0:  # nothing was folded: every history fits, if its beginning is there
            return Action.NEEDS_SNAPSHOT if floor.offset else None
        if head.epoch == cursor.epoch and head.offset >= cursor.offset:
            if cursor.offset < floor.offset:
                return Action.NEEDS_SNAPSHOT
            if _id_under(cursor, batch) == cursor.record_id:
                return None
        return Action.RESET if batch.authoritative else Action.NEEDS_LEADER

    def _apply(self, pack: Pack, epoch: str, outcome: Outcome) -> None:
        """Fold a pack's records behind the cursor; on a halt the position is that of the last record folded."""
        decoded = self._spec.events.decode(pack.data, pack.count)
        skip = max(0, self.position.offset - pack.first + 1)
        events = decoded.events[skip:] if skip else decoded.events
        done = (self._fold if decoded.clean else self._fold_readable)(events, outcome)
        if done:
            last = pack.first + skip + done - 1
            self.position = Position(epoch, last, pack.record_id(last))
        if done < len(events) and self.halt is not None:
            where = pack.record_id(pack.first + skip + done)
            self.halt = Halt(self.halt.reason, f"{self.halt.text} (record {where})")

    def _fold(self, events: list[Any], outcome: Outcome) -> int:
        """Fold events until one raises; how many were folded."""
        value, done = self.value, len(events)
        left = iter(events)
        try:
            for event in left:
                value = event.fold(value)
        except Exception as error:
            # The project's code raised: this key stands still, the process goes on.
            done -= length_hint(left) + 1
            self.halt = Halt(HaltReason.FOLD, f"{type(events[done]).__name__}.fold raised {_text(error)}")
        self.value = value
        outcome.applied += done
        return done

    def _fold_readable(self, events: list[Any], outcome: Outcome) -> int:
        """The same, for a pack with records that give no event."""
        for done, event in enumerate(events):
            if event is Unreadable.NEWER:
                self.halt = Halt(
                    HaltReason.NEWER, "a record was written by a newer version of the code: deploy that one"
                )
                return done
            if event is Unreadable.UNDECODABLE:
                outcome.undecodable += 1
            elif event is Unreadable.UNKNOWN:
                outcome.unknown += 1
                self.skipped_unknown = True
            elif event is Unreadable.RETIRED:
                outcome.retired += 1
            elif not self._fold([event], outcome):
                return done
        return len(events)


def _id_under(cursor: Position, batch: Batch) -> str | None:
    """Id of the record that the log holds at the cursor's offset. A pack that contains it is the best witness."""
    if cursor.offset == batch.floor.offset:
        return batch.floor.record_id
    if batch.packs and batch.packs[0].first <= cursor.offset:
        for pack in batch.packs:
            if pack.first <= cursor.offset <= pack.last:
                return pack.record_id(cursor.offset)
    return batch.cursor_id


def _text(error: Exception) -> str:
    """An error of the project's code in one line, even if its own text raises."""
    return "".join(format_exception_only(error)).strip()[:500]
