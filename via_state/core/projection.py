"""The fold of one key as a state machine without I/O. Everything subtle about logs is decided here.

The shell reads a batch after `Projection.position` and feeds both; the answer says what happened and what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from operator import length_hint
from typing import Any, Generic, NamedTuple, TypeVar

from via_state.core.cursor import CursorCheck, check_cursor
from via_state.core.events import Unreadable
from via_state.core.project_code import is_failure
from via_state.core.records import GENESIS, Batch, Position
from via_state.core.specs import LogSpec
from via_state.core.text import around, quoted
from via_state.core.verifier import Verifier

V = TypeVar("V")


class Action(Enum):
    """What the shell does after feeding a batch."""

    AT_HEAD = "wait for a doorbell"
    ADVANCED = "read on, after the position"
    RESET = "history was rewritten, the fold started over: read again"
    NEEDS_SNAPSHOT = "records before the floor are gone: seed, or halt_for_gap"
    NEEDS_LEADER = "strange evidence from a replica: read again from the leader"
    HALTED = "wait; try again later"
    STALLED = "the head is ahead, and nothing came: read again after a pause"


#: What follows from evidence that does not let the fold continue.
_ACTIONS = {
    CursorCheck.REWRITTEN: Action.RESET,
    CursorCheck.LOST: Action.NEEDS_SNAPSHOT,
    CursorCheck.UNPROVEN: Action.NEEDS_LEADER,
}


class HaltReason(Enum):
    """Why a key is halted."""

    FOLD = "fold"  # the fold raised
    NEWER = "newer"  # a record of a newer version of the code
    GAP = "gap"  # a discarded prefix is needed, and no snapshot covers it
    CODE = "code"  # a discarded prefix is needed, and this code can't use the snapshots that cover it


@dataclass(frozen=True, slots=True)
class Halt:
    """A halted key keeps its last good value."""

    reason: HaltReason
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Outcome:
    """What one batch did: numbers of records, and what comes next. ``raised``: by a fold, and not to be kept."""

    action: Action = Action.ADVANCED
    applied: int = 0
    undecodable: int = 0
    unknown: int = 0
    retired: int = 0
    raised: BaseException | None = field(default=None, compare=False)


class Unread(NamedTuple):
    """A record that this code passed over."""

    offset: int
    why: Unreadable

    def __str__(self) -> str:
        if self.why is Unreadable.UNKNOWN:
            return f"the record at offset {self.offset} is of an event that this code does not declare"
        return f"this code can't decode the record at offset {self.offset}"


class Projection(Generic[V]):
    """``value`` is the fold of the log up to ``position``, at every moment.

    ``unread`` is the first record that was passed over because this code can't read it, so that the value is not the
    log's truth: it must not become a snapshot. A snapshot that covers this record helps, as it does where records are gone.
    With a ``verifier`` each event is folded twice, which finds folds that are not pure.
    """

    __slots__ = ("_spec", "_verifier", "halt", "position", "unread", "value")

    def __init__(self, spec: LogSpec[V], verifier: Verifier[V] | None = None) -> None:
        self._spec = spec
        self._verifier = verifier
        self.value: V = spec.initial()
        self.position: Position = GENESIS
        self.halt: Halt | None = None
        self.unread: Unread | None = None

    def seed(self, value: V, position: Position) -> None:
        """Continue from a snapshot: ``value`` is the fold up to ``position``."""
        self.value, self.position = value, position
        self.halt, self.unread = None, None

    def halt_for_gap(self, why: str | None = None, hole: int = 0) -> Outcome:
        """Nothing covers the floor: halt rather than fold a log that lacks its beginning.

        ``why`` this code can't use the snapshots that do; None when there are none. ``hole``: see `Batch`.
        """
        gone = f"records after offset {self.position.offset} were discarded"
        if hole:
            gone = (
                f"records up to offset {hole} are missing, which nothing of via_state discarded: "
                "put them back from a backup. They were deleted, or a restore was not whole"
            )
        if why is None:
            self.halt = Halt(HaltReason.GAP, f"{gone}, and no snapshot covers them")
        else:
            self.halt = Halt(HaltReason.CODE, f"{gone}, and {why}")
        return Outcome(Action.HALTED)

    @property
    def whole(self) -> bool:
        """Whether something was folded, and all that came before it."""
        lacking = self.halt is not None and self.halt.reason in (HaltReason.GAP, HaltReason.CODE)
        return self.position.offset > 0 and not lacking

    def feed(self, batch: Batch, after: Position) -> Outcome:
        """Judge the evidence of a batch that was read after ``after``, then fold what it brings.

        A batch that was read after another cursor than `position`, a late or a doubled one, proves nothing about it
        and changes nothing.
        """
        if after != self.position:
            return Outcome()
        check = check_cursor(self.position, batch)
        if check is CursorCheck.REWRITTEN:
            self.seed(self._spec.initial(), GENESIS)
        if check is not CursorCheck.CONTINUES:
            return Outcome(_ACTIONS[check])
        self.halt = None
        outcome = Outcome()
        self._fold_packs(batch, outcome)
        if self.halt is not None:
            outcome.action = Action.HALTED
        elif self.position.offset >= batch.head.offset:
            outcome.action = Action.AT_HEAD
        elif self.position == after:
            outcome.action = Action.STALLED
        return outcome

    def _fold_packs(self, batch: Batch, outcome: Outcome) -> None:
        """Fold what follows the cursor, up to a halt. The position follows the value, also when memory runs out."""
        decode = self._spec.events.decode
        cursor = self.position.offset
        witness = None  # the pack that holds the record at the cursor
        try:
            for pack in batch.packs:
                skip = cursor + 1 - pack.first
                decoded = decode(pack.data, pack.count)
                events = decoded.events[skip:] if skip > 0 else decoded.events
                if decoded.clean:
                    done = self._fold(events, outcome)
                else:
                    done = self._fold_readable(events, outcome, pack.last + 1 - len(events))
                if done:
                    cursor, witness = pack.last - len(events) + done, pack
                if self.halt is not None:
                    where = pack.record_id(pack.last - len(events) + done + 1)
                    self.halt = Halt(self.halt.reason, around("", self.halt.text, f" (record {where})"))
                    return
        finally:
            if witness is not None:
                self.position = Position(batch.head.epoch, cursor, witness.record_id(cursor))

    def _fold(self, events: list[Any], outcome: Outcome) -> int:
        """Fold events until one raises; how many were folded."""
        value, done = self.value, len(events)
        left = iter(events)
        verifier = self._verifier
        try:
            if verifier is None:
                for event in left:
                    value = event.fold(value)
            else:
                value = verifier.taken(value)
                for event in left:
                    value = verifier.fold(event, value)
        except BaseException as error:
            # The project's code raised: this key is halted, the process is not.
            if not is_failure(error):
                raise
            done -= length_hint(left) + 1
            outcome.raised = error
            self.halt = Halt(
                HaltReason.FOLD, around(f"{type(events[done]).__name__}.fold raised ", quoted(error, 500))
            )
        self.value = value
        outcome.applied += done
        return done

    def _fold_readable(self, events: list[Any], outcome: Outcome, first: int) -> int:
        """The same, for a pack with records that give no event; ``first`` is the offset of the first of them."""
        for done, event in enumerate(events):
            if event is Unreadable.NEWER:
                self.halt = Halt(
                    HaltReason.NEWER, "a record was written by a newer version of the code: deploy that one"
                )
                return done
            if event is Unreadable.UNDECODABLE:
                outcome.undecodable += 1
                self.unread = self.unread or Unread(first + done, event)
            elif event is Unreadable.UNKNOWN:
                outcome.unknown += 1
                self.unread = self.unread or Unread(first + done, event)
            elif event is Unreadable.RETIRED:
                outcome.retired += 1
            elif not self._fold([event], outcome):
                return done
        return len(events)
