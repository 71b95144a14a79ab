"""Spans of OpenTelemetry: one from a request leads over the log, or the outbox, to the event handlers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from tests.pod.board import Board
from via_state import Delivery, Poison, tracing
from via_state.bookkeeping.database import tables
from via_state.conf import settings as ours
from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.core.specs import CellSpec
from via_state.exceptions import EpochChanged, NotCaughtUp
from via_state.operations.replay import Replay
from via_state.origin import context
from via_state.otel import OtelSpans
from via_state.pod.default import use_pod
from via_state.pod.reading.awaited_reads import await_reads, digest_of

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


class Seen:
    """The spans that ended, and a tracer for the project's own."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("shop")

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        until(lambda: len(self.named(name)) == 1)
        return self.named(name)[0]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found = Seen()
    monkeypatch.setattr(tracing, "spans", OtelSpans(found.provider))
    return found


@pytest.fixture
def shop(postgres: object) -> Iterator[Shop]:
    with shop_of("postgres", OUTBOX_INTERVAL=0.1) as made, use_pod(made.pod):
        yield made


@pytest.fixture
def ship(shop: Shop) -> list[int]:
    shipped: list[int] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 13:
            raise Poison("never")
        shipped.append(event.number)

    return shipped


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def linked(span: ReadableSpan, to: ReadableSpan) -> bool:
    assert to.context is not None
    return [(one.context.trace_id, one.context.span_id) for one in span.links] == [
        (to.context.trace_id, to.context.span_id)
    ]


def test_a_span_of_a_request_leads_to_the_span_of_a_handler(shop: Shop, ship: list[int], seen: Seen) -> None:
    def order(request: HttpRequest) -> HttpResponse:
        with seen.tracer.start_as_current_span("POST /order", kind=SpanKind.SERVER):
            shop.orders().append(Placed(1))
        return HttpResponse()

    class Urls:
        urlpatterns = [path("order/", order)]

    shop.work()
    with override_settings(ROOT_URLCONF=Urls):
        assert Client().post("/order/").status_code == 200
    request, send, process = seen.one("POST /order"), seen.one("send orders"), seen.one("process orders")
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert send.parent is not None
    assert request.context is not None
    assert send.parent.span_id == request.context.span_id
    assert linked(process, send)
    assert process.parent is None
    attributes = dict(process.attributes or {})
    assert attributes.pop("via_state.age_ms") >= 0  # type: ignore[operator]
    assert str(attributes.pop("messaging.message.id")).endswith("-0")
    assert attributes == {
        "messaging.system": "via_state",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "orders",
        "messaging.consumer.group.name": "ship",
        "via_state.attempt": 1,
    }


def sync(shop: Shop) -> None:
    shop.orders().append(Placed(1))


def awaited(shop: Shop) -> None:
    asyncio.run(shop.orders().aappend(Placed(1)))


def on_commit(shop: Shop) -> None:
    with transaction.atomic(using=POSTGRES_ALIAS):
        shop.orders().append_on_commit(Placed(1))


@pytest.mark.parametrize("append", [sync, awaited, on_commit])
def test_the_trace_is_kept_by_every_verb_and_over_the_outbox(
    shop: Shop, ship: list[int], seen: Seen, append: Callable[[Shop], None]
) -> None:
    with seen.tracer.start_as_current_span("request"):
        append(shop)
    shop.work()
    until(lambda: ship == [1])
    assert linked(seen.one("process orders"), seen.one("send orders"))
    assert trace_of(seen.one("send orders")) == trace_of(seen.one("request"))


@pytest.mark.parametrize("append", [sync, on_commit])
def test_what_carries_appends_and_stores_deliveries_is_linked_to_them(
    shop: Shop, ship: list[int], seen: Seen, append: Callable[[Shop], None]
) -> None:
    append(shop)
    shop.work()
    until(lambda: ship == [1])
    send, publish, settle = seen.one("send orders"), seen.one("publish"), seen.one("settle orders")
    assert (publish.kind, settle.kind) == (SpanKind.CLIENT, SpanKind.CLIENT)
    assert linked(publish, send)
    assert linked(settle, send)
    assert (publish.parent, settle.parent) == (None, None)
    assert (publish.attributes or {})["messaging.batch.message_count"] == 1
    assert (settle.attributes or {})["messaging.consumer.group.name"] == "ship"


def test_appends_that_travel_together_are_all_linked(shop: Shop, seen: Seen) -> None:
    async def many() -> None:
        await asyncio.gather(*(shop.orders().aappend(Placed(number)) for number in range(50)))

    asyncio.run(many())
    until(lambda: sum(len(one.links) for one in seen.named("publish")) == 50)
    assert len(seen.named("publish")) < 50
    assert sum((one.attributes or {})["messaging.batch.message_count"] for one in seen.named("publish")) == 50  # type: ignore[misc]


def test_a_read_that_waits_is_an_event_on_the_span_around_it(shop: Shop, seen: Seen) -> None:
    cell: CellSpec[int] = Board.hits.definition.spec()
    log = shop.log()
    with seen.tracer.start_as_current_span("reads"):
        offset = log.append(Placed(1))
        log.read(at_least=offset)
        asyncio.run(log.aread(at_least=offset))
        shop.pod.get("tests.hits", cell, at_least=Revision(1, "of nobody: nothing is there"))
        with pytest.raises(NotCaughtUp):
            log.read(at_least=Offset(offset + 1000, offset.epoch), timeout=0.01)
        with pytest.raises(EpochChanged):
            log.read(at_least=Offset(offset, "of another history"))
        with await_reads({digest_of("orders"): offset}, 5.0):
            log.read()
        log.read()
    log.read(at_least=offset)  # in no span
    events = [(one.name, dict(one.attributes or {})) for one in seen.one("reads").events]
    assert [name for name, _ in events] == ["via_state.read"] * 6
    outcomes = ["caught_up", "caught_up", "caught_up", "timeout", "epoch", "caught_up"]
    assert [one["via_state.outcome"] for _, one in events] == outcomes
    templates = ["orders", "orders", "tests.hits", "orders", "orders", "orders"]
    assert [one["messaging.destination.template"] for _, one in events] == templates
    assert all(one["via_state.wait_ms"] >= 0 for _, one in events)  # type: ignore[operator]


def test_one_trace_where_the_project_wants_that(shop: Shop, ship: list[int], seen: Seen, settings: Any) -> None:
    settings.VIA_STATE = {**settings.VIA_STATE, "OTEL_PARENT": True}
    assert ours.OTEL_PARENT
    with use_pod(shop.pod):
        shop.orders().append(Placed(1))
        shop.work()
        process, send = seen.one("process orders"), seen.one("send orders")
    assert process.parent is not None
    assert send.context is not None
    assert process.parent.span_id == send.context.span_id
    assert trace_of(process) == trace_of(send)


def test_what_a_handler_appends_is_of_its_own_span(shop: Shop, seen: Seen) -> None:
    @shop.orders().on_event("ship", Placed)
    def ship(event: Placed, delivery: Delivery) -> None:
        shop.orders().append(Cancelled(event.number), wait=False)

    shop.orders().append(Placed(1))
    shop.work()
    until(lambda: len(seen.named("send orders")) == 2)
    process = seen.one("process orders")
    first, second = seen.named("send orders")
    assert linked(process, first)
    assert second.parent is not None
    assert process.context is not None
    assert second.parent.span_id == process.context.span_id


def test_a_handler_that_raises_shows_it_and_a_replay_is_a_delivery(
    shop: Shop, ship: list[int], seen: Seen
) -> None:
    shop.orders().append(Placed(13))
    worker = shop.work()
    process = seen.one("process orders")
    assert process.status.status_code is StatusCode.ERROR
    assert [event.name for event in process.events] == ["exception"]
    until(lambda: tables.dead_letters.rows().exists())
    shop.stop(worker)
    from via_state.operations.handlers import declared

    log, spec = declared()["orders", "ship"]
    with Replay("ann", 5.0) as replay:
        replay.run(tables.dead_letters.rows().get(), spec, log.spec)
    replayed = seen.named("process orders")[-1]
    assert linked(replayed, seen.one("send orders"))
    assert (replayed.attributes or {})["via_state.attempt"] == 2


def test_a_trace_that_the_project_names_is_that_of_the_append(shop: Shop, seen: Seen) -> None:
    name = "4bf92f3577b34da6a3ce929d0e0e4736"
    with context(trace=f"00-{name}-00f067aa0ba902b7-01"):
        shop.orders().append_many([Placed(1), Placed(2)])
    send = seen.one("send orders")
    assert format_trace_id(trace_of(send)) == name
    assert (send.attributes or {})["messaging.batch.message_count"] == 2


def test_without_the_package_nothing_is_traced_and_all_works() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
import django
django.setup()
from via_state import tracing
from testproject.counter.state import Counter
assert tracing.spans is None
"""
    environment = {"DJANGO_SETTINGS_MODULE": "testproject.settings_test", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_where_the_project_has_set_up_nothing_no_span_is_made() -> None:
    assert not OtelSpans().active()  # no test sets the process's own
    assert OtelSpans(TracerProvider()).active()
