"""Where spans are made: around an append, and around a delivery. Nobody traces until `spans` is set, as `via_state.otel` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, Protocol

from via_state import origin
from via_state.core.metadata import Metadata


class Processed(NamedTuple):
    """A delivery of a record. ``template``: the declared key. ``trace``: the record's ``traceparent``, or "". ``age``: milliseconds."""

    handler: str
    template: str
    record_id: str
    trace: str
    attempt: int
    age: int | None


class Spans(Protocol):
    """Makes spans. All must be quick, and raise nothing of their own."""

    def active(self) -> bool:
        """Whether anybody takes them."""

    def sending(self, template: str, events: int, trace: str) -> AbstractContextManager[str]:
        """A span around an append; gives its ``traceparent``, "" for none. ``trace``: that of the code around it, where it is known otherwise."""

    def processing(self, one: Processed) -> AbstractContextManager[object]:
        """A span around a delivery."""


#: Makes them; None while nobody does.
spans: Spans | None = None

_NOTHING = nullcontext()


def sending(template: str, events: int) -> AbstractContextManager[None]:
    """Around an append: records within say that they are of its span."""
    return _NOTHING if spans is None or not spans.active() else _sending(spans, template, events)


@contextmanager
def _sending(spans: Spans, template: str, events: int) -> Iterator[None]:
    with spans.sending(template, events, origin.trace()) as trace, origin.in_trace(trace):
        yield


def processing(
    handler: str, template: str, record_id: str, metadata: Metadata, attempt: int
) -> AbstractContextManager[object]:
    """Around the call of an event handler."""
    if spans is None or not spans.active():
        return _NOTHING
    age = time.time_ns() // 1_000_000 - metadata.time if metadata.time else None
    return spans.processing(Processed(handler, template, record_id, metadata.trace, attempt, age))
