"""What one process counts of the tabs of live pages."""

from __future__ import annotations

from via_state import telemetry
from via_state.metrics.declared import counter, counters, gauge, histograms

FRAMES = ("text", "whole", "delta", "same", "rewritten", "token", "stale", "gone")
tabs = gauge("via_tabs", "Tabs that are connected.", "livesum")
refused = counters(
    "via_refused",
    "Connections of tabs, and nodes that they asked for, which were not served, by reason.",
    ("reason",),
    "garbage or origin increases: somebody tries",
)
resumes = counters(
    "via_resumes",
    "Nodes of tabs that came (back), by how what they showed stood to what was here: same, behind, other, ahead.",
    ("order",),
    "ahead increases for long: this process lags others",
)
unproven = counters(
    "via_tabs_unproven",
    "Times a tab showed more of a node than this process could prove within LIVE_WAIT.",
    ("node",),
    "any increase for 5 min",
)
tokens_refused = counters(
    "via_tokens_refused",
    "Tokens of nodes and tickets of pages that do not count, by why: forged, old, other (of another visitor, or for another purpose).",
    ("why",),
    "forged increases: somebody tries, or SECRET_KEY differs between processes",
)
tab_overflows = counter(
    "via_tab_overflows",
    "Times more waited for a tab than it takes: the oldest of its broadcasts was dropped, or its connection was closed (slow, flood).",
    "increases for long: tabs on slow lines, or too much is told",
)
frames = counters(
    "via_frames",
    f"Frames sent to tabs, by kind: {', '.join(FRAMES)}.",
    ("kind",),
)
frame_bytes = counter("via_frame_bytes", "Characters of the messages with frames that were sent to tabs.")
paint_seconds = histograms(
    "via_paint_seconds",
    "Renders of a node, each once for all tabs of an event loop that see the same.",
    ("node",),
    "more than 0.1 s: its tabs are told once a second at most",
)

for _why in ("forged", "old", "other"):
    tokens_refused[_why,].inc(0)
for _kind in FRAMES:
    frames[_kind,].inc(0)


@telemetry.TabsCounted.subscribe
def _(event: telemetry.TabsCounted) -> None:
    tabs.inc(event.change)


@telemetry.TabRefused.subscribe
def _(event: telemetry.TabRefused) -> None:
    refused[event.reason,].inc()
    if event.reason in ("slow", "flood"):
        tab_overflows.inc()


@telemetry.TabResumed.subscribe
def _(event: telemetry.TabResumed) -> None:
    resumes[event.order,].inc()


@telemetry.TabUnproven.subscribe
def _(event: telemetry.TabUnproven) -> None:
    unproven[event.node,].inc()


@telemetry.FramesSent.subscribe
def _(event: telemetry.FramesSent) -> None:
    frames[event.kind,].inc(event.frames)


@telemetry.FrameLinesSent.subscribe
def _(event: telemetry.FrameLinesSent) -> None:
    frame_bytes.inc(event.size)


@telemetry.TokenRefused.subscribe
def _(event: telemetry.TokenRefused) -> None:
    tokens_refused[event.why,].inc()


@telemetry.BroadcastDropped.subscribe
def _(event: telemetry.BroadcastDropped) -> None:
    tab_overflows.inc()


@telemetry.NodeRendered.subscribe
def _(event: telemetry.NodeRendered) -> None:
    paint_seconds[event.node,].observe(event.seconds)
