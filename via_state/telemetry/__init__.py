"""Every event that the parts of via_state emit about themselves, with its measures and their units.

The pod, the event handlers and the runtime emit, and know nothing of who listens. The Prometheus metrics (``via_state.metrics``)
subscribe to these events; so can a project, for its log, its signals or OpenTelemetry::

    from via_state import telemetry

    @telemetry.DeadLettered.subscribe
    def tell(event: telemetry.DeadLettered) -> None: ...

A subscriber is called at once, in the thread of whoever emits, often that of the event loop: it must not block, and must not call
via_state. One that raises is logged and called no more; what emitted the event is not affected.

``key`` is the key itself, with the room, the user or the session in it; ``template`` is the declared key, of which there are few. What
happens with every fold, call or append is added up (`folds`, `called`, `appended`) and emitted once a second.
"""

from __future__ import annotations

from via_state.telemetry.calls import BackplaneCalled, called
from via_state.telemetry.connections import (
    CallFailed,
    KeysHeld,
    LoopBeat,
    OutageEnded,
    OutageLasts,
    StrangerMet,
    SweepFailed,
    Swept,
)
from via_state.telemetry.event import Count, Event, Events, OffsetAt, Seconds
from via_state.telemetry.flushing import Levels, at_flush, flush
from via_state.telemetry.folding import (
    EpochReset,
    FoldDiverged,
    Folded,
    FoldLagged,
    Folds,
    KeyHalted,
    KeyResumed,
    LogLoaded,
    LogReady,
    RecordsSkipped,
    Reseeded,
    folds,
)
from via_state.telemetry.handlers import (
    DeadLettered,
    DeliveryBegan,
    DeliveryEnded,
    DeliveryFailed,
    HandlerBlocked,
    HandlerFenced,
    HandlerHalted,
    HandlerLag,
    HandlerRegistered,
    HandlerResumed,
    HandlerStuck,
    HandlerThreads,
    LeaseRenewed,
)
from via_state.telemetry.live import (
    BroadcastDropped,
    FrameLinesSent,
    FramesSent,
    NodeRendered,
    TabRefused,
    TabResumed,
    TabsCounted,
    TabUnproven,
    TokenRefused,
)
from via_state.telemetry.messages import (
    Broadcasted,
    BroadcastFailed,
    BroadcastsFound,
    BroadcastsLost,
    MessageDropped,
)
from via_state.telemetry.snapshots import (
    Compacted,
    SnapshotCompared,
    SnapshotRefused,
    SnapshotSaved,
    SnapshotStoreFailed,
)
from via_state.telemetry.writing import (
    AfterCommitFailed,
    Appended,
    AppendFailed,
    AppendsWaiting,
    ErasureFailed,
    OutboxCounted,
    ReadWaited,
    Relayed,
    SessionEndFailed,
    UpdateContended,
    UpdateEnded,
    appended,
)

__all__ = [
    "AfterCommitFailed",
    "AppendFailed",
    "Appended",
    "AppendsWaiting",
    "BackplaneCalled",
    "BroadcastDropped",
    "BroadcastFailed",
    "Broadcasted",
    "BroadcastsFound",
    "BroadcastsLost",
    "CallFailed",
    "Compacted",
    "Count",
    "DeadLettered",
    "DeliveryBegan",
    "DeliveryEnded",
    "DeliveryFailed",
    "EpochReset",
    "ErasureFailed",
    "Event",
    "Events",
    "FoldDiverged",
    "FoldLagged",
    "Folded",
    "Folds",
    "FrameLinesSent",
    "FramesSent",
    "HandlerBlocked",
    "HandlerFenced",
    "HandlerHalted",
    "HandlerLag",
    "HandlerRegistered",
    "HandlerResumed",
    "HandlerStuck",
    "HandlerThreads",
    "KeyHalted",
    "KeyResumed",
    "KeysHeld",
    "LeaseRenewed",
    "Levels",
    "LogLoaded",
    "LogReady",
    "LoopBeat",
    "MessageDropped",
    "NodeRendered",
    "OffsetAt",
    "OutageEnded",
    "OutageLasts",
    "OutboxCounted",
    "ReadWaited",
    "RecordsSkipped",
    "Relayed",
    "Reseeded",
    "Seconds",
    "SessionEndFailed",
    "SnapshotCompared",
    "SnapshotRefused",
    "SnapshotSaved",
    "SnapshotStoreFailed",
    "StrangerMet",
    "SweepFailed",
    "Swept",
    "TabRefused",
    "TabResumed",
    "TabUnproven",
    "TabsCounted",
    "TokenRefused",
    "UpdateContended",
    "UpdateEnded",
    "all_events",
    "appended",
    "at_flush",
    "called",
    "flush",
    "folds",
]


def all_events() -> list[type[Event]]:
    """Every class of events, as they stand here."""
    return Event.__subclasses__()
