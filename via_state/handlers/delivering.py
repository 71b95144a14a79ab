"""Handing records to a handler, one after the other, on a worker's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from via_state import telemetry, tracing
from via_state.bookkeeping.positions import DIED, FAILED, UNREADABLE, Claim, Letter, PositionStore
from via_state.core.delivery import Failure, Next, Record, Treatment, after_failure, attempts_after
from via_state.core.metadata import Metadata, all_metadata, as_text
from via_state.core.offsets import Offset
from via_state.core.records import Pack, Position
from via_state.core.specs import LogSpec
from via_state.core.text import error_line, error_trace
from via_state.exceptions import BackplaneUnavailable, Fenced, Poison, RetryAfter
from via_state.handlers.declaration import Delivery, HandlerSpec, facts_of
from via_state.handlers.execution import TRIES, OutcomeUnclear, call, execute
from via_state.handlers.groups import Groups
from via_state.logs import Sparing, about
from via_state.origin import following
from via_state.runtime.database_errors import contended, look_elsewhere
from via_state.runtime.rng import rng

logger = logging.getLogger("via_state.handlers")

_dead_letter_errors = Sparing()
#: After so many failures of one record a warning is logged, once.
WARN_AFTER = 8


class Result(Enum):
    """How a turn ended."""

    DONE = "all that it was given, or its time was over"
    FAILED = "a record is tried again later"
    BLOCKED = "a record that only newer code knows"
    WANTED = "somebody waits for the position"


class Turn(NamedTuple):
    """What came out of one turn on a thread. ``wait``: seconds until the next one, after a failure."""

    result: Result
    wait: float = 0.0


#: Stores a position that is done, where nothing of the claim is delivered next.
Finish: TypeAlias = Callable[[Claim, Position], None]


class Deliverer:
    """Runs one handler on one key, for ``records`` in order. ``may_continue`` says before each record whether it may be begun."""

    def __init__(
        self,
        store: PositionStore,
        spec: HandlerSpec,
        log: LogSpec[Any],
        claim: Claim,
        records: Sequence[Record],
        may_continue: Callable[[], bool],
    ) -> None:
        self._store = store
        self._records = records
        self._groups = Groups(records, claim, spec.batch)
        self._finish: Finish = self._advance
        self._spec = spec
        self._codec = log.events
        self._parameters = log.parameters(claim.key)
        self._claim = claim
        self._may_continue = may_continue
        self._beside: tuple[Pack | None, list[Metadata]] = None, []  # of the pack that is delivered
        #: Why the last record that failed is tried again.
        self.error: Exception | None = None

    @property
    def claim(self) -> Claim:
        """What it works with."""
        return self._claim

    def first(self) -> int:
        """The offset of the first record, where nothing is stored before that is delivered; else 0."""
        record, claim = self._records[0], self._claim
        plain = not claim.attempts and not claim.in_flight_offset and self._may_continue()
        return self._groups.mark(self._groups.at(0)) if plain and record.treatment is Treatment.DELIVER else 0

    def turn(self, seconds: float, finish: Finish | None = None) -> Turn:
        """Deliver for about ``seconds``, at least one record. Raises `Fenced` and `BackplaneUnavailable`: claim again.

        ``finish`` stores the last one's position in place of `PositionStore.advance`.
        """
        self._finish = finish or self._advance
        try:
            return self._turn(seconds)
        except OutcomeUnclear as error:
            raise BackplaneUnavailable(str(error)) from error

    def _advance(self, claim: Claim, position: Position) -> None:
        self._store.advance(claim, position, 0)

    def _turn(self, seconds: float) -> Turn:
        claim, records, until = self._claim, self._records, time.monotonic() + seconds
        passed: Position | None = None  # done, and not stored yet
        index, begun = 0, False
        while index < len(records):
            record = records[index]
            if record.treatment is Treatment.BLOCK:
                self._keep_passed(passed)
                return Turn(Result.BLOCKED)
            if record.treatment is not Treatment.DELIVER:
                if record.treatment is Treatment.SKIP:
                    if not self._may_continue():
                        break
                    self._add_dead_letter(record)
                    passed = None
                else:
                    passed = record.position
                index += 1
                continue
            group = self._groups.at(index)
            mark = self._groups.mark(group)
            announced = claim.in_flight_offset == mark
            if not self._may_continue() or (begun and not announced and time.monotonic() >= until):
                break
            if not announced:
                if passed is None or claim.attempts:
                    self._store.announce(claim, mark)
                else:
                    self._store.advance(claim, passed, mark)
            passed, begun = None, True
            if claim.wanted:
                return Turn(Result.WANTED)
            left = self._groups.mark_after(group) if time.monotonic() < until else 0
            if len(group) > 1:
                index = self._deliver_together(group, left, until)
            elif (wait := self._deliver(record, left)) is not None:
                return Turn(Result.FAILED, wait)
            else:
                index += 1
            if claim.wanted:
                return Turn(Result.WANTED)
        self._keep_passed(passed)
        return Turn(Result.DONE)

    def _keep_passed(self, passed: Position | None) -> None:
        """Store what is done, and that nothing runs any more."""
        if not self._claim.attempts and (passed is not None or self._claim.in_flight_offset):
            self._store.advance(self._claim, passed or self._claim.position, 0)

    def _deliver_together(self, group: list[int], left: int, until: float) -> int:
        """Run the handler for several records in one transaction; the index after the last one that is done.

        Without savepoints, which cost more than what most handlers do: where a record fails all is undone, and they are delivered one
        by one. Then that one is isolated, and those before it are stored.
        """
        spec, records = self._spec, [self._records[at] for at in group]
        times: list[float] = []

        def run() -> None:
            times.clear()
            for record in records:
                if times and (time.monotonic() >= until or not self._may_continue()):
                    break
                started = time.perf_counter()
                self._call(spec.function, record, self._delivery(record), timeout=spec.timeout)
                times.append(time.perf_counter() - started)

        def keep(claim: Claim) -> None:
            last = records[len(times) - 1]
            with tracing.settling(*self._labels, self._metadata(last)):
                self._store.advance(claim, last.position, left if len(times) == len(records) else 0)

        try:
            self._execute(run, keep, records[0])
        except (Fenced, OutcomeUnclear):
            raise
        except Exception as error:
            look_elsewhere(error)
            logger.debug(
                "A transaction of %s on %r up to offset %s is undone, and its records are handled one by one: %s",
                spec.name,
                self._claim.key,
                records[-1].position.offset,
                error,
                extra=about(key=self._claim.key, handler=spec.name, reason="batch"),
            )
            self._claim.alone_until = records[-1].position.offset
            return group[0]
        for seconds in times:
            telemetry.DeliveryEnded(*self._labels, seconds, "ok").emit()
        return group[len(times) - 1] + 1

    def _delivery(self, record: Record) -> Delivery:
        claim, spec = self._claim, self._spec
        return Delivery(
            spec.name,
            claim.key,
            Offset(record.position.offset, record.position.epoch),
            record.position.epoch,
            claim.attempts + 1,
            f"{spec.name}-{record.position.record_id}",
            self._parameters,
            *facts_of(self._metadata(record)),
        )

    def _deliver(self, record: Record, left: int) -> float | None:
        """Run the handler once; seconds to wait when it must run again for this record, else None."""
        claim, spec = self._claim, self._spec
        delivery = self._delivery(record)
        if claim.last_error == DIED and spec.retry.exhausted(claim.attempts, claim.failing_for()):
            # Not once more: it may kill this worker, too.
            return self._failed(record, delivery, RuntimeError(DIED), Failure.TAKEN_OVER, left)
        started, outcome = time.perf_counter(), "raised"
        try:
            self._execute(
                lambda: self._call(spec.function, record, delivery, timeout=spec.timeout),
                lambda claim: self._handled(claim, record, left),
                record,
            )
            outcome = "ok"
            return None
        except (Fenced, OutcomeUnclear):
            raise
        except RetryAfter as error:
            failure = Failure.RAISED if error.counts else Failure.LATER
            return self._failed(record, delivery, error, failure, left)
        except Poison as error:
            return self._failed(record, delivery, error, Failure.POISON, left)
        except Exception as error:
            look_elsewhere(error)
            failure = Failure.CONTENDED if contended(error) else Failure.RAISED
            return self._failed(record, delivery, error, failure, left)
        finally:
            telemetry.DeliveryEnded(*self._labels, time.perf_counter() - started, outcome).emit()

    def _handled(self, claim: Claim, record: Record, left: int) -> None:
        with tracing.settling(*self._labels, self._metadata(record)):
            if left or self._spec.atomic:
                self._store.advance(claim, record.position, left)
            else:
                self._finish(claim, record.position)

    def _call(
        self, function: Callable[..., Any], record: Record, *args: Any, timeout: float | None = None
    ) -> None:
        """Call what the project wrote; what it appends says for which record."""
        metadata, record_id = self._metadata(record), record.position.record_id
        span = tracing.processing(*self._labels, record_id, metadata, self._claim.attempts + 1)
        with following(record_id, metadata), span:
            call(function, record.event, *args, timeout=timeout)

    def _metadata(self, record: Record) -> Metadata:
        pack, found = self._beside
        if pack is not record.pack:
            pack = record.pack
            found = all_metadata(pack.data, pack.count)
            self._beside = pack, found
        return found[record.position.offset - pack.first]

    @property
    def _labels(self) -> tuple[str, str]:
        return self._claim.handler.name, self._claim.handler.template

    def _execute(self, run: Callable[[], None], keep: Callable[[Claim], None], record: Record) -> None:
        """Both, in one transaction where the handler is atomic. The claim stays as it was when that fails."""
        trial = self._claim

        def store() -> None:
            nonlocal trial
            trial = copy(self._claim)  # each time that the transaction runs
            keep(trial)

        detail = f"{self._spec.name} on {self._claim.key!r} at offset {record.position.offset}"
        execute(run, store, atomic=self._spec.atomic, what="handler", detail=detail)
        for name in (
            "position",
            "in_flight_offset",
            "attempts",
            "from_floor",
            "last_error",
            "wanted",
            "first_failed",
        ):
            setattr(self._claim, name, getattr(trial, name))

    def _failed(
        self, record: Record, delivery: Delivery, error: Exception, failure: Failure, left: int
    ) -> float | None:
        claim, spec = self._claim, self._spec
        attempts = attempts_after(failure, claim.attempts)
        telemetry.DeliveryFailed(*self._labels, claim.key, record.position.offset, attempts).emit()
        if after_failure(failure, attempts, claim.failing_for(), spec.retry) is Next.DEAD_LETTER:
            try:
                self._give_up(record, delivery, error, attempts, left)
            except (Fenced, OutcomeUnclear):
                raise
            except Exception as raised:
                if _dead_letter_errors.due(spec.name, claim.key):
                    logger.exception(
                        "The dead_letter of %s raised for %r at %s.",
                        spec.name,
                        claim.key,
                        delivery.offset,
                        extra=_about(delivery, "dead_letter"),
                    )
                error = raised
            else:
                return None
        self.error = error
        # It ran several times without a pause of this kind.
        wait = spec.retry.pause(max(attempts, TRIES) if failure is Failure.CONTENDED else attempts, rng.random)
        if isinstance(error, RetryAfter):
            wait = error.seconds
        text = error_line(error)
        self._store.fail(claim, attempts, text, wait, error_trace(error))
        level = logging.WARNING if attempts == WARN_AFTER else logging.DEBUG
        logger.log(
            level,
            "The event handler %s is stuck: %r at offset %s failed %s times: %s",
            spec.name,
            claim.key,
            delivery.offset,
            attempts,
            error,
            extra=_about(delivery, "stuck"),
        )
        return wait

    def _give_up(self, record: Record, delivery: Delivery, error: Exception, attempts: int, left: int) -> None:
        """Call ``dead_letter``, keep the record as a dead letter, and advance past it. Raises what ``dead_letter`` raises."""
        hook = self._spec.dead_letter
        letter = self._letter(record, error, attempts)
        self._execute(
            lambda: None if hook is None else self._call(hook, record, delivery, error),
            lambda claim: self._store.add_letter(claim, letter, left),
            record,
        )
        telemetry.DeadLettered(*self._labels, delivery.key, record.position.offset, FAILED).emit()
        logger.error(
            "The event handler %s gave up on %r at offset %s after %s attempts: %s",
            delivery.handler,
            delivery.key,
            delivery.offset,
            attempts,
            error,
            extra=_about(delivery, FAILED),
        )

    def _letter(self, record: Record, error: Exception, attempts: int) -> Letter:
        return Letter(
            record.position,
            *record.stored(self._codec),
            error_line(error),
            error_trace(error),
            attempts,
            metadata=self._kept(record),
        )

    def _kept(self, record: Record) -> str:
        """The metadata as a dead letter keeps it."""
        return as_text(self._metadata(record))

    def _add_dead_letter(self, record: Record) -> None:
        """Keep a record that can't be decoded, for code that can, and advance past it."""
        claim, stored = self._claim, record.stored(self._codec)
        error = f"It can't be decoded: {self._codec.problem(stored)}."
        self._store.add_letter(
            claim, Letter(record.position, *stored, error, "", claim.attempts, UNREADABLE, self._kept(record)), 0
        )
        telemetry.DeadLettered(*self._labels, claim.key, record.position.offset, UNREADABLE).emit()
        logger.error(
            "The event handler %s can't be given %r at offset %s, which is kept as a dead letter. %s",
            self._spec.name,
            claim.key,
            record.position.offset,
            error,
            extra=about(key=claim.key, handler=self._spec.name, offset=record.position.offset, reason=UNREADABLE),
        )


def _about(delivery: Delivery, reason: str) -> dict[str, object]:
    return about(key=delivery.key, handler=delivery.handler, offset=int(delivery.offset), reason=reason)
