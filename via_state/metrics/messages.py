"""What a process counts of messages between processes, and to tabs."""

from __future__ import annotations

from via_state import telemetry
from via_state.metrics.declared import counter, counters

broadcasts = counters(
    "via_broadcasts", "Broadcasts of this process, by kind: notify, signals, script.", ("kind",), unit="messages"
)
broadcasts_failed = counter(
    "via_broadcast_failed",
    "Broadcasts that the carrier did not take to other processes, or did not say so; the caller got `BroadcastFailed`.",
    "any increase: look at the server of the carrier",
)
broadcasts_dropped = counters(
    "via_broadcast_dropped",
    "Broadcasts that came from other processes and were not shown: forged, old or replay (the seal), form (not one of ours), "
    "scripts (LIVE_SCRIPTS is off), full (too many wait for an event loop); and tab: too many waited for one tab.",
    ("reason",),
    "any increase: somebody else writes there, clocks differ, or a loop hangs",
)
broadcast_gaps = counters(
    "via_broadcast_gaps",
    "Broadcasts of other processes that were missing here, by outcome: found (overtaken, or said again), lost.",
    ("outcome",),
    "lost increases: BROADCAST_KEEP asks for them again",
    "messages",
)
messages_dropped = counters(
    "via_messages_dropped",
    "Other messages between processes that were not heard, by topic and reason.",
    ("topic", "reason"),
    "any increase: somebody else writes there, or clocks differ",
)

for _outcome in ("found", "lost"):
    broadcast_gaps[_outcome,].inc(0)
for _kind in ("notify", "signals", "script"):
    broadcasts[_kind,].inc(0)


@telemetry.Broadcasted.subscribe
def _(event: telemetry.Broadcasted) -> None:
    broadcasts[event.kind,].inc()


@telemetry.BroadcastFailed.subscribe
def _(event: telemetry.BroadcastFailed) -> None:
    broadcasts_failed.inc()


@telemetry.MessageDropped.subscribe
def _(event: telemetry.MessageDropped) -> None:
    if event.topic == "b":
        broadcasts_dropped[event.reason,].inc()
    else:
        messages_dropped[event.topic, event.reason].inc()


@telemetry.BroadcastDropped.subscribe
def _(event: telemetry.BroadcastDropped) -> None:
    broadcasts_dropped["tab",].inc()


@telemetry.BroadcastsLost.subscribe
def _(event: telemetry.BroadcastsLost) -> None:
    broadcast_gaps["lost",].inc(event.count)


@telemetry.BroadcastsFound.subscribe
def _(event: telemetry.BroadcastsFound) -> None:
    broadcast_gaps["found",].inc(event.count)
