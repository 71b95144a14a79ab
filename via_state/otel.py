"""Spans of OpenTelemetry, where its package is installed: ``send`` around an append and ``publish`` around the call that carries it,
``process`` around a delivery and ``settle`` around the statement that stores it. A read with ``at_least`` is an event on the span around it.

The names follow the conventions for messaging, which are still in development: they are all here. A record keeps the context of its
``send``; ``process`` links to it, or is its child where ``OTEL_PARENT`` is set. A key is in no span: its template is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, ProxyTracerProvider, Span, SpanKind, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import via_state
from via_state import tracing
from via_state.conf import settings
from via_state.tracing import Processed, Waited

SYSTEM = "messaging.system"
OPERATION = "messaging.operation.name"
TYPE = "messaging.operation.type"
TEMPLATE = "messaging.destination.template"
GROUP = "messaging.consumer.group.name"
MESSAGE = "messaging.message.id"
BATCH = "messaging.batch.message_count"
#: Of our own.
ATTEMPT, AGE = "via_state.attempt", "via_state.age_ms"
#: An event on the span of who reads with ``at_least``.
WAITED, OUTCOME, WAIT = "via_state.read", "via_state.outcome", "via_state.wait_ms"

#: Seconds between two looks whether the project has set a provider.
LOOK = 0.1

_PROPAGATOR = TraceContextTextMapPropagator()


class OtelSpans:
    """``provider``: the one that the project set, where it is left out."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("via_state", via_state.__version__, provider)
        self._provided = provider is not None
        self._look_at = 0.0

    def active(self) -> bool:
        if not self._provided and (now := time.monotonic()) >= self._look_at:
            # Asked for each append, and the question looks into the environment. Once there is a provider it stays.
            self._provided = not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
            self._look_at = now + LOOK
        return self._provided

    @contextmanager
    def sending(self, template: str, events: int, trace: str) -> Iterator[str]:
        attributes = _attributes("send", template)
        if events > 1:
            attributes[BATCH] = events
        parent = None if _traced() else _context(trace)
        with self._tracer.start_as_current_span(
            f"send {template}", parent, kind=SpanKind.PRODUCER, attributes=attributes
        ):
            yield _traceparent()

    @contextmanager
    def publishing(self, traces: Sequence[str], events: int) -> Iterator[Span]:
        attributes: dict[str, Any] = {SYSTEM: "via_state", OPERATION: "publish", TYPE: "send", BATCH: events}
        links = [link for one in traces if (link := _link(one)) is not None]
        # The loop carries appends of many: it is of none of their traces.
        with self._tracer.start_as_current_span(
            "publish", Context(), kind=SpanKind.CLIENT, attributes=attributes, links=links
        ) as span:
            yield span

    def waiting(self, template: str) -> Waited | None:
        span = trace.get_current_span()
        if not span.is_recording():
            return None

        def waited(outcome: str, seconds: float) -> None:
            if span.is_recording():  # who reads may have given up
                span.add_event(WAITED, {TEMPLATE: template, OUTCOME: outcome, WAIT: round(seconds * 1000, 1)})

        return waited

    @contextmanager
    def settling(self, handler: str, template: str, trace: str) -> Iterator[Span]:
        attributes = {**_attributes("settle", template), GROUP: handler}
        link = _link(trace)
        with self._tracer.start_as_current_span(
            f"settle {template}",
            Context(),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=() if link is None else (link,),
        ) as span:
            yield span

    @contextmanager
    def processing(self, one: Processed) -> Iterator[Span]:
        attributes = {
            **_attributes("process", one.template),
            GROUP: one.handler,
            MESSAGE: one.record_id,
            ATTEMPT: one.attempt,
        }
        if one.age is not None:
            attributes[AGE] = one.age
        context = _context(one.trace)
        origin = None if context is None else trace.get_current_span(context).get_span_context()
        child = bool(settings.OTEL_PARENT) and context is not None
        with self._tracer.start_as_current_span(
            f"process {one.template}",
            context if child else Context(),  # not of what a worker's thread did before
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=() if child or origin is None else (Link(origin),),
        ) as span:
            yield span


def _attributes(operation: str, template: str) -> dict[str, Any]:
    return {SYSTEM: "via_state", OPERATION: operation, TYPE: operation, TEMPLATE: template}


def _traced() -> bool:
    """Whether the code that runs now is in a span."""
    return trace.get_current_span().get_span_context().is_valid


def _context(traceparent: str) -> Context | None:
    """That of a ``traceparent``; None for what is none."""
    if not traceparent:
        return None
    found = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def _link(traceparent: str) -> Link | None:
    context = _context(traceparent)
    return None if context is None else Link(trace.get_current_span(context).get_span_context())


def _traceparent() -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def install(provider: TracerProvider | None = None) -> None:
    """Trace from now on."""
    tracing.spans = OtelSpans(provider)
