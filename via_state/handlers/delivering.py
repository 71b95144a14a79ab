"""Handing records to a handler, one after the other, on a worker's thread."""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from asgiref.sync import async_to_sync
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, InternalError
from django.db.transaction import TransactionManagementError

from via_state import metrics
from via_state.core.delivery import Failure, Next, Record, Treatment, after_failure
from via_state.core.events import EventCodec
from via_state.core.records import Position
from via_state.exceptions import BackplaneUnavailable, Fenced, Poison, RetryAfter
from via_state.handlers.declaration import Delivery, HandlerSpec
from via_state.handlers.positions import DIED, Claim, Letter, PositionStore
from via_state.runtime.rng import rng

logger = logging.getLogger("via_state.handlers")

#: After so many failures of one record a warning is logged, once.
WARN_AFTER = 8
MAX_ERROR, MAX_TRACEBACK = 2_000, 20_000  # characters
_SWALLOWED = (
    "The handler went on after a database error, which broke its transaction: put what may fail into a "
    "transaction.atomic() of its own."
)


class Result(Enum):
    """How a turn ended."""

    DONE = "all that it was given, or its time was over"
    FAILED = "a record is tried again later"
    BLOCKED = "a record that only newer code knows"


class Turn(NamedTuple):
    """What came out of one turn on a thread. ``wait``: seconds until the next one, after a failure."""

    result: Result
    wait: float = 0.0


class Deliverer:
    """Runs one handler on one key. ``go_on`` says before each record whether it may be begun."""

    def __init__(
        self, store: PositionStore, spec: HandlerSpec, codec: EventCodec, claim: Claim, go_on: Callable[[], bool]
    ) -> None:
        self._store = store
        self._spec = spec
        self._codec = codec
        self._claim = claim
        self._go_on = go_on
        self._seconds = metrics.consumer_delivery_seconds.labels(claim.handler.name, claim.handler.log)

    def turn(self, records: Sequence[Record], seconds: float) -> Turn:
        """Deliver ``records`` in order, for about ``seconds``. Raises `Fenced` and `BackplaneUnavailable`: claim again."""
        claim, until = self._claim, time.monotonic() + seconds
        followers = _followers(records)
        passed: Position | None = None  # done, and not stored yet
        for index, record in enumerate(records):
            offset = record.position.offset
            if record.treatment is Treatment.BLOCK:
                self._settle(passed)
                return Turn(Result.BLOCKED)
            if record.treatment is not Treatment.DELIVER:
                if record.treatment is Treatment.SKIP:
                    metrics.consumer_undecodable.labels(*self._labels).inc()
                    logger.error(
                        "The event handler %s passed over %r at offset %s: it does not decode.",
                        self._spec.name,
                        claim.key,
                        offset,
                    )
                passed = record.position
                continue
            announced = claim.trying == offset
            if not self._go_on() or (index and not announced and time.monotonic() >= until):
                break
            if not announced:
                if passed is None or claim.attempts:
                    self._store.announce(claim, offset)
                else:
                    self._store.advance(claim, passed, offset)
            passed = None
            behind = followers[index] if time.monotonic() < until else 0
            if (wait := self._deliver(record, behind)) is not None:
                return Turn(Result.FAILED, wait)
        self._settle(passed)
        return Turn(Result.DONE)

    def _settle(self, passed: Position | None) -> None:
        """Store what is done, and that nothing runs any more."""
        if not self._claim.attempts and (passed is not None or self._claim.trying):
            self._store.advance(self._claim, passed or self._claim.position, 0)

    def _deliver(self, record: Record, behind: int) -> float | None:
        """Run the handler once; seconds to wait when it must run again for this record, else None."""
        claim, spec = self._claim, self._spec
        delivery = Delivery(
            spec.name,
            claim.key,
            record.position.offset,
            record.position.epoch,
            claim.attempts + 1,
            f"{spec.name}-{record.position.record_id}",
        )
        if claim.last_error == DIED and spec.retry.exhausted(claim.attempts):
            # Not once more: it may kill this worker, too.
            return self._failed(record, delivery, RuntimeError(DIED), Failure.TAKEN_OVER, behind)
        started = time.perf_counter()
        try:
            if spec.atomic:
                self._run_atomically(record, delivery, behind)
                return None
            call(spec.function, record.event, delivery)
        except Fenced:
            raise
        except _CommitFailed as error:
            raise BackplaneUnavailable(str(error)) from error
        except RetryAfter as error:
            return self._failed(record, delivery, error, Failure.LATER, behind)
        except Poison as error:
            return self._failed(record, delivery, error, Failure.POISON, behind)
        except Exception as error:
            return self._failed(record, delivery, error, Failure.RAISED, behind)
        finally:
            self._seconds.observe(time.perf_counter() - started)
        self._store.advance(claim, record.position, behind)
        return None

    @property
    def _labels(self) -> tuple[str, str]:
        return self._claim.handler.name, self._claim.handler.log

    def _run_atomically(self, record: Record, delivery: Delivery, behind: int) -> None:
        """The handler's writes and the advance, in one transaction. The claim stays as it was when that fails."""
        trial, committing = copy(self._claim), False
        try:
            with self._store.transaction():
                call(self._spec.function, record.event, delivery)
                try:
                    self._store.advance(trial, record.position, behind)
                except BackplaneUnavailable as error:
                    if isinstance(error.__cause__, TransactionManagementError | InternalError):
                        raise RuntimeError(_SWALLOWED) from error
                    raise _CommitFailed(str(error)) from error
                committing = True
        except (IntegrityError, DataError):
            raise  # the handler's own fault, also where a deferred constraint finds it at the commit
        except (DatabaseError, InterfaceError) as error:
            if committing:  # it may have been committed: only the row knows
                raise _CommitFailed(f"The outcome of a transaction is not known: {error}") from error
            raise
        for name in ("position", "trying", "attempts", "from_floor", "last_error"):
            setattr(self._claim, name, getattr(trial, name))

    def _failed(
        self, record: Record, delivery: Delivery, error: Exception, failure: Failure, behind: int
    ) -> float | None:
        claim, spec = self._claim, self._spec
        attempts = claim.attempts + (failure is not Failure.TAKEN_OVER)
        metrics.consumer_error.labels(*self._labels).inc()
        if after_failure(failure, attempts, spec.retry) is Next.BURY:
            try:
                if spec.dead_letter is not None:
                    call(spec.dead_letter, record.event, delivery, error)
            except Exception as raised:
                logger.exception(
                    "The dead_letter of %s raised for %r at %s.", spec.name, claim.key, delivery.offset
                )
                error = raised
            else:
                self._bury(record, error, attempts, behind)
                return None
        wait = spec.retry.pause(attempts, rng.random)
        if isinstance(error, RetryAfter):
            wait = error.seconds
        text = one_line(error)
        self._store.fail(claim, attempts, text, wait, trace(error))
        level = logging.WARNING if attempts == WARN_AFTER else logging.DEBUG
        logger.log(
            level,
            "The event handler %s is stuck: %r at offset %s failed %s times: %s",
            spec.name,
            claim.key,
            delivery.offset,
            attempts,
            text,
        )
        return wait

    def _bury(self, record: Record, error: Exception, attempts: int, behind: int) -> None:
        claim = self._claim
        ((name, version, payload),) = msgspec.json.decode(
            self._codec.encode([record.event]), type=list[tuple[str, int, msgspec.Raw]]
        )
        text = bytes(payload).decode()
        letter = Letter(record.position, name, version, text, one_line(error), trace(error), attempts)
        self._store.bury(claim, letter, behind)
        metrics.consumer_poisoned.labels(*self._labels).inc()
        logger.error(
            "The event handler %s gave up on %r at offset %s after %s attempts: %s",
            claim.handler.name,
            claim.key,
            record.position.offset,
            attempts,
            letter.error,
        )


def _followers(records: Sequence[Record]) -> list[int]:
    """For each record the offset of the one that is delivered after it, 0 where none is."""
    found, following = [0] * len(records), 0
    for index in range(len(records) - 1, -1, -1):
        found[index] = following
        treatment = records[index].treatment
        if treatment in (Treatment.DELIVER, Treatment.BLOCK):
            following = records[index].position.offset if treatment is Treatment.DELIVER else 0
    return found


class _CommitFailed(Exception):
    """The advance could not be written, or nobody knows whether it was."""


def call(function: Callable[..., Any], *args: Any) -> None:
    """Call what a project wrote, sync or async. The database work of an async function runs on this thread, too."""
    if inspect.iscoroutinefunction(function):
        async_to_sync(function)(*args)
        return
    answer = function(*args)
    if inspect.isawaitable(answer):

        async def finish() -> None:
            await answer

        async_to_sync(finish)()


def one_line(error: BaseException) -> str:
    """An error in one line, even if its own text raises."""
    return _storable("".join(traceback.format_exception_only(error))).strip()[:MAX_ERROR]


def trace(error: BaseException) -> str:
    """The end of an error's traceback."""
    return _storable("".join(traceback.format_exception(error)))[-MAX_TRACEBACK:]


def _storable(text: str) -> str:
    """What every database takes: no NUL, and no half of a surrogate pair."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
