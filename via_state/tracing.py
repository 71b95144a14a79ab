"""Where spans are made: around an append and what carries it to the backplane, and around a delivery and what stores that it is done. Nobody traces until `spans` is set, as `via_state.otel` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, Protocol, TypeAlias

from via_state import origin
from via_state.core.metadata import Metadata, all_metadata

#: Links of one span, as OpenTelemetry's own limit.
MOST_LINKS = 128


class Processed(NamedTuple):
    """A delivery of a record. ``template``: the declared key. ``trace``: the record's ``traceparent``, or "". ``age``: milliseconds."""

    handler: str
    template: str
    record_id: str
    trace: str
    attempt: int
    age: int | None


#: Called once with an outcome, as `telemetry.ReadWaited` has it, and seconds; from any thread.
Waited: TypeAlias = Callable[[str, float], None]


class Spans(Protocol):
    """Makes spans. All must be quick, and raise nothing of their own."""

    def active(self) -> bool:
        """Whether anybody takes them."""

    def sending(self, template: str, events: int, trace: str) -> AbstractContextManager[str]:
        """A span around an append; gives its ``traceparent``, "" for none. ``trace``: that of the code around it, where it is known otherwise."""

    def publishing(self, traces: Sequence[str], events: int) -> AbstractContextManager[object]:
        """A span around what the backplane is asked to append, for appends of these traces: calls that wait together travel together."""

    def processing(self, one: Processed) -> AbstractContextManager[object]:
        """A span around a delivery."""

    def waiting(self, template: str) -> Waited | None:
        """Notes on the span of the code that runs now what became of its read with ``at_least``; None where it is in no span."""

    def settling(self, handler: str, template: str, trace: str) -> AbstractContextManager[object]:
        """A span around the statement that moves a position past a record of this trace."""


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


def publishing(packs: Iterable[tuple[bytes, int]]) -> AbstractContextManager[object]:
    """Around a call that appends packs, each with its number of records."""
    if spans is None or not spans.active():
        return _NOTHING
    traces: dict[str, None] = {}
    events = 0
    for data, count in packs:
        events += count
        if len(traces) < MOST_LINKS:
            traces |= dict.fromkeys(one.trace for one in all_metadata(data, count) if one.trace)
    return spans.publishing(list(traces)[:MOST_LINKS], events)


def waiting(template: str) -> Waited | None:
    """What to call when a read with ``at_least``, which begins now, has ended."""
    return None if spans is None or not spans.active() else spans.waiting(template)


def settling(handler: str, template: str, metadata: Metadata) -> AbstractContextManager[object]:
    """Around the statement that stores that a delivery is done."""
    return _NOTHING if spans is None or not spans.active() else spans.settling(handler, template, metadata.trace)


def processing(
    handler: str, template: str, record_id: str, metadata: Metadata, attempt: int
) -> AbstractContextManager[object]:
    """Around the call of an event handler."""
    if spans is None or not spans.active():
        return _NOTHING
    age = time.time_ns() // 1_000_000 - metadata.time if metadata.time else None
    return spans.processing(Processed(handler, template, record_id, metadata.trace, attempt, age))
