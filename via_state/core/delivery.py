"""What becomes of the records that an event handler is given: the decisions, without I/O.

A handler works head-of-line: while one record is not done, those after it wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from via_state.core.events import EventCodec, Stored, Unreadable
from via_state.core.metadata import as_text, metadata_of
from via_state.core.packs import slices
from via_state.core.records import Batch, Pack, Position

#: Records of a pack that are decoded at once for a handler.
SLICE = 500


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed delivery is tried again.

    The pause doubles from ``base`` to ``max`` seconds, each shortened by up to half at random. The record becomes a dead letter
    when it fails ``give_up_after`` seconds or more after its first failure, but never at its first; or when it has failed
    ``max_attempts`` times, which are soon used: 8 with the shortest pauses take about a second. None tries for ever. Raises
    ValueError for what can't be.
    """

    base: float = 0.01
    max: float = 30.0
    give_up_after: float | None = None
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        given: dict[str, object] = {"base": self.base, "max": self.max}
        for name, seconds in given.items():
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
                raise ValueError(f"Retry({name}={seconds!r}): give a number of seconds above 0.")
        limit: object = self.give_up_after
        usable = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit < math.inf
        if limit is not None and not usable:
            raise ValueError(
                f"Retry(give_up_after={limit!r}): give a number of seconds above 0, or None for ever."
            )
        if self.max < self.base:
            raise ValueError(f"Retry(base={self.base}, max={self.max}): max is below base.")
        attempts: object = self.max_attempts
        if attempts is not None and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1):
            raise ValueError(f"Retry(max_attempts={attempts!r}): give a whole number from 1, or None for ever.")

    def pause(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds to wait after the ``attempt``-th failure (from 1). ``random`` gives a number in [0, 1)."""
        full = self.max if attempt > 64 else min(self.max, self.base * 2.0 ** (max(attempt, 1) - 1))
        return full * (1 - random() / 2)

    def exhausted(self, attempts: int, seconds: float) -> bool:
        """Whether a record is given up that has failed ``attempts`` times, first ``seconds`` ago."""
        if self.max_attempts is not None and attempts >= self.max_attempts:
            return True
        return self.give_up_after is not None and attempts > 1 and seconds >= self.give_up_after


class Treatment(Enum):
    """What is done with one record."""

    DELIVER = "hand it to the handler"
    PASS = "not for this handler"
    SKIP = "it can't be decoded: into the dead letters"
    BLOCK = "only newer code knows it"


class Record(NamedTuple):
    """A record on its way to a handler, and the ``pack`` or slice of one that it is in. ``event`` is None unless it is delivered."""

    position: Position
    treatment: Treatment
    event: Any
    pack: Pack

    @property
    def metadata(self) -> str:
        """What is kept beside the event, as text."""
        return as_text(metadata_of(self.pack.data, self.pack.count, self.position.offset - self.pack.first))

    def stored(self, codec: EventCodec) -> Stored:
        """What is stored of it."""
        return codec.stored(self.pack.data, self.pack.count, self.position.offset - self.pack.first)


def records_after(
    batch: Batch, position: Position, codec: EventCodec, wanted: tuple[type[Any], ...]
) -> Iterator[Record]:
    """The records of a batch that follow ``position``. ``wanted`` are the event types to deliver; empty: all.

    They are decoded when they are asked for, `SLICE` at a time: whoever takes the first of a large pack does not pay for all.
    """
    for pack in batch.packs:
        if pack.last <= position.offset:
            continue
        for part in slices(pack, position.offset, SLICE):
            for index, event in enumerate(codec.decode(part.data, part.count).events):
                offset = part.first + index
                if offset <= position.offset:
                    continue
                treatment = _treatment(event, wanted)
                where = Position(batch.head.epoch, offset, pack.record_id(offset))
                record = Record(where, treatment, event if treatment is Treatment.DELIVER else None, part)
                if (
                    treatment is Treatment.SKIP
                    and wanted
                    and not _may_be_one_of(record.stored(codec), codec, wanted)
                ):
                    record = record._replace(treatment=Treatment.PASS)
                yield record


def _may_be_one_of(stored: Stored, codec: EventCodec, wanted: tuple[type[Any], ...]) -> bool:
    """Whether a record that can't be decoded is, by its name, of a wanted type."""
    event_type = codec.type_named(stored.name)
    return event_type is None or issubclass(event_type.event, wanted)


def _treatment(event: Any, wanted: tuple[type[Any], ...]) -> Treatment:
    if event is Unreadable.UNDECODABLE:
        return Treatment.SKIP
    if event is Unreadable.RETIRED:
        return Treatment.PASS
    if isinstance(event, Unreadable):
        return Treatment.BLOCK
    return Treatment.DELIVER if not wanted or isinstance(event, wanted) else Treatment.PASS


class Failure(Enum):
    """Why a delivery did not succeed."""

    RAISED = "the handler raised"
    LATER = "the handler asked for time, which is not an attempt"
    CONTENDED = "the database undid its transaction because of others, which is not an attempt"
    POISON = "the handler gave the record up"
    TAKEN_OVER = "the worker that ran the handler died"


class Next(Enum):
    """What follows a failed delivery."""

    RETRY = "again, after a pause"
    DEAD_LETTER = "into the dead letters, then on"


def attempts_after(failure: Failure, attempts: int) -> int:
    """How often a record has failed after this failure, of ``attempts`` before it."""
    # That of a dead worker was counted by whoever took over.
    return attempts if failure in (Failure.LATER, Failure.CONTENDED, Failure.TAKEN_OVER) else attempts + 1


def after_failure(failure: Failure, attempts: int, seconds: float, retry: Retry) -> Next:
    """What follows a failure of a record that has failed ``attempts`` times now, first ``seconds`` ago."""
    if failure in (Failure.LATER, Failure.CONTENDED):
        return Next.RETRY
    if failure is Failure.POISON or retry.exhausted(attempts, seconds):
        return Next.DEAD_LETTER
    return Next.RETRY
