"""Where an append comes from: on whose behalf, for which record, in which trace. Kept in a context variable of the caller."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from via_state.core.metadata import Metadata
from via_state.core.text import one_line

#: Characters of an actor.
LONGEST = 200
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class LazyActor(Protocol):
    """Is asked when something is appended, not before."""

    def get(self) -> object: ...

    async def aget(self) -> object: ...


class Origin(NamedTuple):
    """What appends made now say of themselves."""

    actor: str | LazyActor = ""
    cause: str = ""
    trace: str = ""


_NONE = Origin()
_origin: ContextVar[Origin] = ContextVar("via_state_origin", default=_NONE)


@contextmanager
def context(*, actor: object = None, trace: str | None = None) -> Iterator[None]:
    """Appends within say on whose behalf they are made: `Delivery.actor`. In sync and in async code, with ``with``.

    ``actor``: a text or what ``str()`` makes one of, such as ``request.user.pk``, of at most 200 characters; ``""`` for nobody. ``trace``: a W3C
    ``traceparent``. What is left out stays as it is around this. Raises ValueError.
    """
    if trace and not _TRACEPARENT.fullmatch(trace):
        raise ValueError(f"trace= is {trace!r}. Give a traceparent: 00-<32 hex digits>-<16 hex digits>-01.")
    now = _origin.get()
    changed = now._replace(
        actor=now.actor if actor is None else named(actor), trace=now.trace if trace is None else trace
    )
    with _set(changed):
        yield


@contextmanager
def lazy_context(actor: LazyActor, trace: str = "") -> Iterator[None]:
    """`context`, where the actor is found out when it is needed. A trace that is none is left out."""
    now = _origin.get()
    with _set(now._replace(actor=actor, trace=trace if _TRACEPARENT.fullmatch(trace) else now.trace)):
        yield


@contextmanager
def following(record_id: str, metadata: Metadata) -> Iterator[None]:
    """Appends within are made for this record, on behalf of whoever appended it, in its trace."""
    with _set(Origin(metadata.actor, record_id, metadata.trace)):
        yield


@contextmanager
def _set(origin: Origin) -> Iterator[None]:
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


@contextmanager
def in_trace(trace: str) -> Iterator[None]:
    """Appends within are of this trace; "" leaves it as it is."""
    now = _origin.get()
    with _set(now._replace(trace=trace) if trace else now):
        yield


def trace() -> str:
    """The ``traceparent`` of the code that runs now, or ""."""
    return _origin.get().trace


def trace_id() -> str:
    """The trace of the code that runs now: 32 hex digits, or ""."""
    return _origin.get().trace[3:35]


def named(actor: object) -> str:
    """An actor as it is stored. Raises ValueError."""
    text = "" if actor is None else str(actor)
    if len(text) > LONGEST or text != one_line(text):
        raise ValueError(f"An actor is one line of at most {LONGEST} characters, such as a primary key.")
    return text


def metadata() -> Metadata:
    """Of an append that is made now. Not in an event loop."""
    origin = _origin.get()
    if origin is _NONE:
        return Metadata(time=_now())
    actor = origin.actor if isinstance(origin.actor, str) else named(origin.actor.get())
    return Metadata(_now(), origin.trace, actor, origin.cause)


async def ametadata() -> Metadata:
    """`metadata`, awaited."""
    origin = _origin.get()
    if origin is _NONE:
        return Metadata(time=_now())
    actor = origin.actor if isinstance(origin.actor, str) else named(await origin.actor.aget())
    return Metadata(_now(), origin.trace, actor, origin.cause)


def _now() -> int:
    return time.time_ns() // 1_000_000
