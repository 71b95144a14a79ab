"""Dead letters, run again by a person."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from via_state import tracing
from via_state.bookkeeping.database import tables
from via_state.bookkeeping.positions import HandlerId
from via_state.core.events import EventCodec, Stored, Unreadable
from via_state.core.metadata import from_text
from via_state.core.offsets import Offset
from via_state.core.specs import LogSpec
from via_state.core.text import error_line, error_trace
from via_state.exceptions import Fenced
from via_state.handlers.declaration import Delivery, HandlerSpec, facts_of
from via_state.handlers.execution import OutcomeUnclear, call, execute
from via_state.models import DeadLetter
from via_state.operations.borrowing import Borrower, NotBorrowed
from via_state.origin import following

#: Seconds for which a replay waits for a worker to end the event that it handles.
PATIENCE = 10.0


class Replayed(NamedTuple):
    """What became of a letter. ``done`` is False where somebody else resolved it first, or ``error`` says what failed.

    ``tried`` says whether the handler was called.
    """

    done: bool
    error: str = ""
    tried: bool = True


class Replay(Borrower):
    """Runs handlers once more for letters, one after the other, as a worker runs them and never beside one.

    A handler that is not atomic runs outside of a transaction. What an atomic one writes to ``DATABASE`` becomes durable together
    with the letter's new status, or not at all. ``by``: who asks for it. ``patience``: see `Borrower`.

    Raises `NotBorrowed` where a transaction is open, and `BackplaneUnavailable` when the database can't be reached.
    """

    def __init__(self, by: str, patience: float = PATIENCE) -> None:
        super().__init__(patience)
        self._by = by

    def run(self, letter: DeadLetter, spec: HandlerSpec, log: LogSpec[Any]) -> Replayed:
        """Run the handler of a letter that is new. The letter is replayed after that, or has a new error."""
        event = event_of(letter, log.events)
        if isinstance(event, Unreadable):
            return Replayed(False, f"This code can't read the event: it is {event.value}.", False)
        try:
            claim = self.position(HandlerId(letter.template, letter.handler), letter.key)
            self.store.keep(claim)
        except NotBorrowed as error:
            return Replayed(False, str(error), False)
        except Fenced:
            self.give_back()
            return Replayed(False, "This process lost its lease. Try again.", False)
        row = new(letter)
        if not row.update(attempts=F("attempts") + 1):
            return Replayed(False, tried=False)
        attempt: int = tables.dead_letters.rows().values_list("attempts", flat=True).get(pk=letter.pk)
        delivery = Delivery(
            letter.handler,
            letter.key,
            Offset(letter.offset, letter.epoch),
            letter.epoch,
            attempt,
            f"{letter.handler}-{letter.record_id}",
            log.parameters(letter.key),
            *facts_of(metadata := from_text(letter.metadata)),
        )

        def run() -> None:
            span = tracing.processing(letter.handler, letter.template, letter.record_id, metadata, attempt)
            with following(letter.record_id, metadata), span:
                call(spec.function, event, delivery, timeout=spec.timeout)

        def keep_outcome() -> None:
            if spec.atomic:
                self.store.keep(claim)
            if not row.update(status=DeadLetter.Status.REPLAYED, resolved_at=Now(), resolved_by=self._by):
                raise _ResolvedMeanwhile("Somebody resolved it while its handler ran.")

        try:
            execute(
                run,
                keep_outcome,
                atomic=spec.atomic,
                what="replay",
                detail=f"the replay of {letter}",
            )
        except Fenced:
            self.give_back()
            return Replayed(False, "This process lost its lease while the handler ran. Nothing was committed.")
        except (OutcomeUnclear, _ResolvedMeanwhile) as error:
            return Replayed(False, str(error))
        except Exception as error:
            row.update(error=error_line(error), traceback=error_trace(error))
            return Replayed(False, error_line(error))
        return Replayed(True)


class _ResolvedMeanwhile(Exception):
    """What an atomic handler wrote is undone."""


def replay(letter: DeadLetter, spec: HandlerSpec, log: LogSpec[Any], by: str) -> Replayed:
    """`Replay` of one letter."""
    try:
        with Replay(by) as one:
            return one.run(letter, spec, log)
    except NotBorrowed as error:
        return Replayed(False, str(error), False)


def new(letter: DeadLetter) -> QuerySet[DeadLetter]:
    """The row of a letter, as long as nothing was done about it."""
    return tables.dead_letters.rows().filter(pk=letter.pk, status=DeadLetter.Status.NEW)


def event_of(letter: DeadLetter, codec: EventCodec) -> Any:
    """The event of a letter, or `Unreadable`."""
    return codec.read(Stored(letter.event_name, letter.event_version, letter.payload))
