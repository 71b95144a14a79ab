"""What one process counts of the tabs of live pages."""

from __future__ import annotations

from via_state import telemetry
from via_state.metrics.declared import counter, counters, gauge, histograms

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
frames = counter("via_frames", "Frames sent to tabs.")
frame_bytes = counter("via_frame_bytes", "Characters of the messages with frames that were sent to tabs.")
render_seconds = histograms(
    "via_render_seconds",
    "Renders of a node, each once for all tabs of an event loop that see the same.",
    ("node",),
    "more than 0.1 s: its tabs are told once a second at most",
)


@telemetry.TabsCounted.subscribe
def _(event: telemetry.TabsCounted) -> None:
    tabs.inc(event.change)


@telemetry.TabRefused.subscribe
def _(event: telemetry.TabRefused) -> None:
    refused[event.reason,].inc()


@telemetry.TabResumed.subscribe
def _(event: telemetry.TabResumed) -> None:
    resumes[event.order,].inc()


@telemetry.TabUnproven.subscribe
def _(event: telemetry.TabUnproven) -> None:
    unproven[event.node,].inc()


@telemetry.FramesSent.subscribe
def _(event: telemetry.FramesSent) -> None:
    frames.inc(event.frames)
    frame_bytes.inc(event.size)


@telemetry.NodeRendered.subscribe
def _(event: telemetry.NodeRendered) -> None:
    render_seconds[event.node,].observe(event.seconds)
