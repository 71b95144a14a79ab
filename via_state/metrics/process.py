"""What one process counts. Every gauge says how several processes of one machine are joined (``multiprocess_mode``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from via_state import telemetry

M = TypeVar("M", Counter, Gauge, Histogram)
Mode = Literal["livemin", "livemax", "livesum", "livemostrecent"]

_LATENCY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Family(dict[tuple[str, ...], M], Generic[M]):
    """The children of a metric with labels, by their labels' values: prometheus-client's own look-up is ten times slower."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._labels: Callable[..., M] = metric.labels

    def __missing__(self, labels: tuple[str, ...]) -> M:
        child = self[labels] = self._labels(*labels)
        return child


def _counter(name: str, text: str, labels: Sequence[str] = ()) -> Family[Counter]:
    return Family(Counter(name, text, labels))


def _gauge(name: str, text: str, labels: Sequence[str] = (), *, mode: Mode) -> Family[Gauge]:
    return Family(Gauge(name, text, labels, multiprocess_mode=mode))


def _histogram(name: str, text: str, labels: Sequence[str] = ()) -> Family[Histogram]:
    return Family(Histogram(name, text, labels, buckets=_LATENCY))


KEY = ("key",)
HANDLER = ("name", "key")

# Appends and updates --------------------------------------------------------------------------------------

events_appended = Counter("via_events_appended", "Events acknowledged by the backplane.")
append_seconds = Histogram(
    "via_append_seconds", "From the call of append to its acknowledgement.", buckets=_LATENCY
)
cell_conflicts = _counter("via_cell_conflicts", "Rounds of compare-and-swap lost to another writer.", KEY)
after_commit_errors = _counter(
    "via_after_commit_errors",
    "Errors of on_commit hooks, raised after the commit of a handler, a replay, an operator's action or an append.",
    ["what"],
)
session_end_failed = Counter(
    "via_session_end_failed", "Sessions whose state was not ended with them, or not in time."
)
erasures_failed = Counter("via_erasures_failed", "Times the state of a deleted owner could not be erased.")
outbox_waiting = Gauge(
    "via_outbox_waiting",
    "Records in the outbox that wait to be relayed, as this pod saw it last.",
    multiprocess_mode="livemostrecent",
)
outbox_oldest_seconds = Gauge(
    "via_outbox_oldest_seconds",
    "Age of the oldest of them; 0 when none waits.",
    multiprocess_mode="livemostrecent",
)
outbox_set_aside = Gauge(
    "via_outbox_set_aside",
    "Records in the outbox that were set aside and wait for a person.",
    multiprocess_mode="livemostrecent",
)


@telemetry.Appended.subscribe
def _(event: telemetry.Appended) -> None:
    events_appended.inc(event.events)
    for seconds in event.seconds:
        append_seconds.observe(seconds)


@telemetry.Relayed.subscribe
def _(event: telemetry.Relayed) -> None:
    events_appended.inc(event.events)


@telemetry.OutboxCounted.subscribe
def _(event: telemetry.OutboxCounted) -> None:
    outbox_waiting.set(event.waiting)
    outbox_oldest_seconds.set(event.oldest)
    outbox_set_aside.set(event.aside)


@telemetry.UpdateContended.subscribe
def _(event: telemetry.UpdateContended) -> None:
    cell_conflicts[event.template,].inc()


@telemetry.AfterCommitFailed.subscribe
def _(event: telemetry.AfterCommitFailed) -> None:
    after_commit_errors[event.what,].inc()


@telemetry.SessionEndFailed.subscribe
def _(event: telemetry.SessionEndFailed) -> None:
    session_end_failed.inc()


@telemetry.ErasureFailed.subscribe
def _(event: telemetry.ErasureFailed) -> None:
    erasures_failed.inc()


# Connections ----------------------------------------------------------------------------------------------

backplane_errors = Counter("via_backplane_errors", "Calls of the backplane that failed for want of a connection.")
retrying = _gauge(
    "via_retrying",
    "What this process has tried again for longer than a minute, or although the server refuses it, and still fails.",
    ["what"],
    mode="livesum",
)
strangers = _counter(
    "via_strangers", "Looks at rows and messages among ours that are not ours, and were skipped.", ["server"]
)


@telemetry.StrangerMet.subscribe
def _(event: telemetry.StrangerMet) -> None:
    strangers[event.server,].inc()


@telemetry.CallFailed.subscribe
def _(event: telemetry.CallFailed) -> None:
    backplane_errors.inc()


@telemetry.OutageLasts.subscribe
def _(event: telemetry.OutageLasts) -> None:
    retrying[event.kind,].inc()


@telemetry.OutageEnded.subscribe
def _(event: telemetry.OutageEnded) -> None:
    retrying[event.kind,].dec()


loop_lag_seconds = Histogram(
    "via_loop_lag_seconds",
    "By how much a beat of the loop, one each second, was late.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0),
)
loop_beat = Gauge(
    "via_loop_beat_timestamp_seconds",
    "When the loop of a process last had a turn.",
    multiprocess_mode="livemin",
)


@telemetry.LoopBeat.subscribe
def _(event: telemetry.LoopBeat) -> None:
    loop_lag_seconds.observe(event.late)
    loop_beat.set(time.time())


# Folds ----------------------------------------------------------------------------------------------------

fold_events = _counter("via_fold_events", "Events that this process folded.", KEY)
fold_offset = _gauge("via_fold_offset", "Offset up to which a pod has folded the log.", KEY, mode="livemin")
events_undecodable = _counter(
    "via_events_undecodable", "Records that folds skipped because they do not decode.", KEY
)
events_unknown = _counter(
    "via_events_unknown", "Records that folds skipped because no declared event has their name.", KEY
)
events_forward_incompatible = _counter(
    "via_events_forward_incompatible", "Times a key halted at a record of a newer version.", KEY
)
epoch_reset = _counter("via_events_epoch_reset", "Folds started over because history was rewritten.", KEY)
compaction_gap_halt = _counter(
    "via_events_compaction_gap_halt", "Times a key halted because a discarded prefix is needed.", KEY
)
compaction_reseed = _counter(
    "via_events_compaction_reseed",
    "Folds that were overtaken by a compaction and continued from a snapshot.",
    KEY,
)
fold_divergence = _counter("via_fold_divergence", "Times a fold was seen not to give one value everywhere.", KEY)
halted = _gauge("via_halted", "Projections of a process that are halted now.", ["key", "reason"], mode="livesum")
snapshots_saved = _counter("via_snapshot_saved", "Snapshots written by this pod.", KEY)
snapshots_refused = _counter("via_snapshot_refused", "Values that could not be stored in a snapshot.", KEY)
snapshots_unbridgeable = _counter(
    "via_snapshot_unbridgeable", "Times a key halted because its snapshots are of other code.", KEY
)
snapshot_errors = Counter("via_snapshot_errors", "Calls of the snapshot store that failed.")
compactions = _counter("via_compactions", "Times this pod moved the floor of a log.", KEY)

#: Counters of halts, beside the gauge of those that are halted now.
HALTS = {
    "newer": events_forward_incompatible,
    "gap": compaction_gap_halt,
    "code": snapshots_unbridgeable,
}
_OF_A_LOG = (
    fold_events,
    events_undecodable,
    events_unknown,
    events_forward_incompatible,
    epoch_reset,
    compaction_gap_halt,
    compaction_reseed,
    fold_divergence,
    snapshots_saved,
    snapshots_refused,
    snapshots_unbridgeable,
    compactions,
)


@telemetry.LogLoaded.subscribe
def _(event: telemetry.LogLoaded) -> None:
    """Begin every counter at 0: an increase from nothing to 1 raises no alert."""
    if (event.template,) not in fold_events:
        for family in _OF_A_LOG:
            family[event.template,].inc(0)


@telemetry.Folded.subscribe
def _(event: telemetry.Folded) -> None:
    fold_events[event.template,].inc(event.events)
    if event.offset:
        fold_offset[event.template,].set(event.offset)


@telemetry.RecordsSkipped.subscribe
def _(event: telemetry.RecordsSkipped) -> None:
    events_undecodable[event.template,].inc(event.undecodable)
    events_unknown[event.template,].inc(event.unknown)


@telemetry.EpochReset.subscribe
def _(event: telemetry.EpochReset) -> None:
    epoch_reset[event.template,].inc()


@telemetry.KeyHalted.subscribe
def _(event: telemetry.KeyHalted) -> None:
    halted[event.template, event.reason].inc()
    if event.reason in HALTS:
        HALTS[event.reason][event.template,].inc()


@telemetry.KeyResumed.subscribe
def _(event: telemetry.KeyResumed) -> None:
    halted[event.template, event.reason].dec()


@telemetry.Reseeded.subscribe
def _(event: telemetry.Reseeded) -> None:
    compaction_reseed[event.template,].inc()


@telemetry.FoldDiverged.subscribe
def _(event: telemetry.FoldDiverged) -> None:
    fold_divergence[event.template,].inc()


@telemetry.SnapshotSaved.subscribe
def _(event: telemetry.SnapshotSaved) -> None:
    snapshots_saved[event.template,].inc()


@telemetry.SnapshotRefused.subscribe
def _(event: telemetry.SnapshotRefused) -> None:
    snapshots_refused[event.template,].inc()


@telemetry.SnapshotStoreFailed.subscribe
def _(event: telemetry.SnapshotStoreFailed) -> None:
    snapshot_errors.inc()


@telemetry.Compacted.subscribe
def _(event: telemetry.Compacted) -> None:
    compactions[event.template,].inc()


# Event handlers -------------------------------------------------------------------------------------------

consumer_error = _counter("via_consumer_error", "Deliveries that failed.", HANDLER)
consumer_poisoned = _counter(
    "via_consumer_poisoned", "Records that became dead letters after too many failures.", HANDLER
)
consumer_undecodable = _counter(
    "via_consumer_undecodable", "Records that became dead letters because they do not decode.", HANDLER
)
consumer_forward_incompatible = _counter(
    "via_consumer_forward_incompatible",
    "Times an event handler met a record that only newer code knows.",
    HANDLER,
)
consumer_stuck = _gauge(
    "via_consumer_stuck",
    "Failed attempts of the record that fails most often; 0 when none fails.",
    HANDLER,
    mode="livemax",
)
consumer_halted = _gauge(
    "via_consumer_halted",
    "Positions that are halted until an operator says where to continue.",
    ["name", "key", "reason"],
    mode="livesum",
)
consumer_lag_events = _gauge(
    "via_consumer_lag_events", "Records after the positions of this worker's handlers.", HANDLER, mode="livesum"
)
consumer_lag_seconds = _gauge(
    "via_consumer_lag_seconds",
    "For how long the log that waits longest has had records to handle.",
    HANDLER,
    mode="livemax",
)
consumer_latency_seconds = _histogram(
    "via_consumer_latency_seconds",
    "From a worker's noticing that a log has more records to the start of the handler.",
    HANDLER,
)
consumer_delivery_seconds = _histogram("via_consumer_delivery_seconds", "How long the handler ran.", HANDLER)

_OF_A_HANDLER = (consumer_error, consumer_poisoned, consumer_undecodable, consumer_forward_incompatible)


@telemetry.HandlerRegistered.subscribe
def _(event: telemetry.HandlerRegistered) -> None:
    """Begin every counter at 0: the first dead letter of a process raises an alert."""
    for family in _OF_A_HANDLER:
        family[event.handler, event.template].inc(0)
    consumer_stuck[event.handler, event.template].inc(0)


@telemetry.DeliveryBegan.subscribe
def _(event: telemetry.DeliveryBegan) -> None:
    consumer_latency_seconds[event.handler, event.template].observe(event.seconds)


@telemetry.DeliveryEnded.subscribe
def _(event: telemetry.DeliveryEnded) -> None:
    consumer_delivery_seconds[event.handler, event.template].observe(event.seconds)


@telemetry.DeliveryFailed.subscribe
def _(event: telemetry.DeliveryFailed) -> None:
    consumer_error[event.handler, event.template].inc()


@telemetry.DeadLettered.subscribe
def _(event: telemetry.DeadLettered) -> None:
    family = consumer_undecodable if event.reason == "unreadable" else consumer_poisoned
    family[event.handler, event.template].inc()


@telemetry.HandlerBlocked.subscribe
def _(event: telemetry.HandlerBlocked) -> None:
    consumer_forward_incompatible[event.handler, event.template].inc()


@telemetry.HandlerStuck.subscribe
def _(event: telemetry.HandlerStuck) -> None:
    consumer_stuck[event.handler, event.template].set(event.attempts)


@telemetry.HandlerHalted.subscribe
def _(event: telemetry.HandlerHalted) -> None:
    consumer_halted[event.handler, event.template, event.reason].inc()


@telemetry.HandlerResumed.subscribe
def _(event: telemetry.HandlerResumed) -> None:
    consumer_halted[event.handler, event.template, event.reason].dec()


@telemetry.HandlerLag.subscribe
def _(event: telemetry.HandlerLag) -> None:
    consumer_lag_events[event.handler, event.template].inc(event.change)


@telemetry.HandlerLagged.subscribe
def _(event: telemetry.HandlerLagged) -> None:
    consumer_lag_seconds[event.handler, event.template].set(event.seconds)
