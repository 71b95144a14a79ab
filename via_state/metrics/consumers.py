"""What one worker counts of its event handlers, which metrics call consumers."""

from __future__ import annotations

from via_state import telemetry
from via_state.metrics.declared import HANDLER, counters, gauge, gauges, histograms

consumer_deliveries = counters(
    "via_consumer_deliveries",
    "Records that an event handler was given, by outcome: ok, failed (tried again), poisoned and skipped (dead letters).",
    (*HANDLER, "outcome"),
    "failed is above 14% of all for 5 min and for 1 h",
    "records",
)
consumer_error = counters("via_consumer_error", "Deliveries that failed.", HANDLER)
consumer_poisoned = counters(
    "via_consumer_poisoned",
    "Records that became dead letters after too many failures.",
    HANDLER,
    "any increase",
    "records",
)
consumer_undecodable = counters(
    "via_consumer_undecodable",
    "Records that became dead letters because they do not decode.",
    HANDLER,
    "any increase",
    "records",
)
consumer_forward_incompatible = counters(
    "via_consumer_forward_incompatible",
    "Times an event handler met a record that only newer code knows.",
    HANDLER,
    "any increase that is not of a deploy",
)
consumer_fenced = counters(
    "via_consumer_fenced",
    "Times a position was taken from a worker, by another one or by an operator.",
    HANDLER,
    "increases all the time: workers lose their leases",
)
consumer_stuck = gauges(
    "via_consumer_stuck",
    "Failed attempts of the record that fails most often; 0 when none fails.",
    "livemax",
    HANDLER,
    "8 or more for 5 min: the records after it wait",
    "attempts",
)
consumer_halted = gauges(
    "via_consumer_halted",
    "Positions of a worker that are halted until an operator says where to continue, by reason: history, gap.",
    "livesum",
    (*HANDLER, "reason"),
    "above 0 for 1 min: manage.py resume_handler",
    "positions",
)
consumer_lag_events = gauges(
    "via_consumer_lag_events", "Records after the positions of a worker.", "livesum", HANDLER, unit="records"
)
consumer_latency_seconds = histograms(
    "via_consumer_latency_seconds",
    "From a worker's noticing that a log has more records to the start of the handler.",
    HANDLER,
)
consumer_delivery_seconds = histograms("via_consumer_delivery_seconds", "How long the handler ran.", HANDLER)
handler_threads = gauge(
    "via_handler_threads", "Threads of a worker on which handlers may run.", "livesum", unit="threads"
)
handler_threads_busy = gauge(
    "via_handler_threads_busy",
    "Threads of a worker on which a handler runs.",
    "livesum",
    "all of them for 15 min: give the worker more, or run more workers",
    "threads",
)
lease_until = gauge(
    "via_lease_until_timestamp_seconds",
    "Until when a worker holds its positions, as Unix time by its own clock; it is renewed three times a lease.",
    "livemin",
    "in the past: the worker begins nothing, others take over",
    "seconds",
    from_start=False,
)

OUTCOMES = ("ok", "failed", "poisoned", "skipped")
_OF_A_HANDLER = (
    consumer_error,
    consumer_poisoned,
    consumer_undecodable,
    consumer_forward_incompatible,
    consumer_fenced,
)


@telemetry.HandlerRegistered.subscribe
def _(event: telemetry.HandlerRegistered) -> None:
    """Begin every counter at 0: the first dead letter of a process raises an alert."""
    for family in _OF_A_HANDLER:
        family[event.handler, event.template].inc(0)
    for outcome in OUTCOMES:
        consumer_deliveries[event.handler, event.template, outcome].inc(0)
    consumer_stuck[event.handler, event.template].inc(0)


@telemetry.DeliveryBegan.subscribe
def _(event: telemetry.DeliveryBegan) -> None:
    consumer_latency_seconds[event.handler, event.template].observe(event.seconds)


@telemetry.DeliveryEnded.subscribe
def _(event: telemetry.DeliveryEnded) -> None:
    consumer_delivery_seconds[event.handler, event.template].observe(event.seconds)
    if event.outcome == "ok":
        consumer_deliveries[event.handler, event.template, "ok"].inc()


@telemetry.DeliveryFailed.subscribe
def _(event: telemetry.DeliveryFailed) -> None:
    consumer_error[event.handler, event.template].inc()
    consumer_deliveries[event.handler, event.template, "failed"].inc()


@telemetry.DeadLettered.subscribe
def _(event: telemetry.DeadLettered) -> None:
    unreadable = event.reason == "unreadable"
    family = consumer_undecodable if unreadable else consumer_poisoned
    family[event.handler, event.template].inc()
    consumer_deliveries[event.handler, event.template, "skipped" if unreadable else "poisoned"].inc()


@telemetry.HandlerBlocked.subscribe
def _(event: telemetry.HandlerBlocked) -> None:
    consumer_forward_incompatible[event.handler, event.template].inc()


@telemetry.HandlerFenced.subscribe
def _(event: telemetry.HandlerFenced) -> None:
    consumer_fenced[event.handler, event.template].inc()


@telemetry.HandlerStuck.subscribe
def _(event: telemetry.HandlerStuck) -> None:
    consumer_stuck[event.handler, event.template].set(event.attempts)


@telemetry.HandlerThreads.subscribe
def _(event: telemetry.HandlerThreads) -> None:
    handler_threads.inc(event.threads)
    handler_threads_busy.inc(event.busy)


@telemetry.HandlerHalted.subscribe
def _(event: telemetry.HandlerHalted) -> None:
    consumer_halted[event.handler, event.template, event.reason].inc()


@telemetry.HandlerResumed.subscribe
def _(event: telemetry.HandlerResumed) -> None:
    consumer_halted[event.handler, event.template, event.reason].dec()


@telemetry.HandlerLag.subscribe
def _(event: telemetry.HandlerLag) -> None:
    consumer_lag_events[event.handler, event.template].inc(event.change)


@telemetry.LeaseRenewed.subscribe
def _(event: telemetry.LeaseRenewed) -> None:
    lease_until.set(event.until)
