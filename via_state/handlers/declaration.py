"""What a project declares: a named function that is called for the events of a log."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from via_state.core.delivery import Retry
from via_state.core.metadata import Metadata
from via_state.core.offsets import Offset
from via_state.core.text import one_line
from via_state.exceptions import DeclarationError
from via_state.runtime.signatures import fault_of

#: Where a new handler begins: with the first record that is still there, or after the last one.
Start: TypeAlias = Literal["first", "head"]

MAX_NAME = 100  # characters
MAX_BATCH = 500  # records
DEFAULT_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to hand one event to one handler.

    ``attempt`` counts from 1, without those that a `RetryAfter` ended. ``idempotency_key`` is the same in every attempt, and after a move to another backplane: give
    it to whatever the handler calls, so that a second call changes nothing. ``parameters`` are those of a family's ``key``, as
    text: {"room": "7"} for ``room.7`` of ``room.{room}``. ``time``: when the event was appended, by the clock of the process that did; None for a record that does
    not say so. ``actor``: on whose behalf, as `via_state.context` said; "" for nobody. ``caused_by``: the id of the record for which an event
    handler appended it; "" where none did.
    """

    handler: str
    key: str
    offset: Offset
    epoch: str
    attempt: int
    idempotency_key: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    time: datetime | None = None
    actor: str = ""
    caused_by: str = ""


def facts_of(metadata: Metadata) -> tuple[datetime | None, str, str]:
    """What a delivery says of the append: ``time``, ``actor``, ``caused_by``."""
    try:
        time = datetime.fromtimestamp(metadata.time / 1000, UTC) if metadata.time else None
    except (ValueError, OverflowError, OSError):  # of a clock that nobody has
        time = None
    return time, one_line(metadata.actor), one_line(metadata.cause)


@dataclass(frozen=True, slots=True, eq=False)
class HandlerSpec:
    """A declared handler. ``events`` are the types that it wants; empty: all of the log. ``concurrency``: how many of its keys a worker
    handles at once. ``timeout``: seconds for one delivery of an async function. ``batch``: how many records of a key are in one
    transaction, at most, where it is ``atomic``.
    """

    name: str
    function: Callable[[Any, Delivery], Any]
    events: tuple[type[Any], ...] = ()
    retry: Retry = DEFAULT_RETRY
    dead_letter: Callable[[Any, Delivery, Exception], Any] | None = None
    atomic: bool = False
    start: Start = "first"
    concurrency: int | None = None
    timeout: float | None = None
    batch: int = 1


def declare(handlers: MutableMapping[str, HandlerSpec], spec: HandlerSpec, log: str) -> None:
    """Add a handler to those of ``log``. Raises `DeclarationError` for arguments that can't work.

    A function that is defined again, by a reloaded module, replaces itself.
    """
    wrong = _problem(spec)
    if wrong is not None:
        raise DeclarationError(f"on_event({spec.name!r}) of {log}: {wrong}")
    known = handlers.get(spec.name)
    if known is not None and _origin(known.function) != _origin(spec.function):
        raise DeclarationError(
            f"on_event({spec.name!r}) of {log}: {_origin(known.function)} has this name already. Choose another one; "
            "the position is kept under it."
        )
    handlers[spec.name] = spec


def _problem(spec: HandlerSpec) -> str | None:
    name: object = spec.name
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        return f'give a name of 1 to {MAX_NAME} characters first, as in on_event("ship").'
    if not callable(spec.function):
        return f"it decorates {spec.function!r}, which is not a function of an event and a delivery."
    if fault := fault_of(spec.function, "event", "delivery"):
        return f"{_origin(spec.function)} {fault}."
    if not all(isinstance(event, type) for event in spec.events):
        return f"{spec.events!r} are not all classes of events."
    if not isinstance(spec.retry, Retry):
        return f"retry= is {spec.retry!r}. Write retry=Retry(give_up_after=3600), in seconds."
    if spec.dead_letter is not None and not callable(spec.dead_letter):
        return f"dead_letter= is {spec.dead_letter!r}. Give a function of an event, a delivery and an error."
    if spec.dead_letter is not None and (fault := fault_of(spec.dead_letter, "event", "delivery", "error")):
        return f"dead_letter= {_origin(spec.dead_letter)} {fault}."
    if not isinstance(spec.atomic, bool):
        return f"atomic= is {spec.atomic!r}. Write True or False."
    if spec.start not in ("first", "head"):
        return f"start= is {spec.start!r}. Write 'first' or 'head'."
    return _bound_problem(spec)


def _bound_problem(spec: HandlerSpec) -> str | None:
    most: object = spec.concurrency
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        return f"concurrency= is {most!r}. Give a whole number from 1, of keys that a worker handles at once."
    batch: object = spec.batch
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= MAX_BATCH:
        return f"batch= is {batch!r}. Give a whole number from 1 to {MAX_BATCH}, of records in one transaction."
    if batch > 1 and not spec.atomic:
        return "batch= is for atomic handlers: what others do is not undone when a later record fails. Add atomic=True."
    limit: object = spec.timeout
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
        return f"timeout= is {limit!r}. Give a number of seconds above 0."
    if not inspect.iscoroutinefunction(spec.function):
        return "timeout= is for async functions: Python can't end a thread. Give what the function calls a timeout of its own."
    return None


def _origin(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
