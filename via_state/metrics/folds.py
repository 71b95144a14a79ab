"""What one process counts of its projections and their snapshots."""

from __future__ import annotations

from via_state import telemetry
from via_state.metrics.declared import counter, counters, gauges, histograms

fold_events = counters("via_fold_events", "Events that a process folded.", unit="events")
fold_offset = gauges(
    "via_fold_offset",
    "Offset up to which a process has folded the log; of keys that are not families.",
    "livemin",
    unit="offset",
)
fold_lag_seconds = histograms(
    "via_fold_lag_seconds",
    "From an append to its fold in a process, which shows it: of the newest event of one batch a second, by the clocks of both.",
    worry="often above 1 s: the process folds too late, or clocks differ",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
cold_start_seconds = histograms(
    "via_cold_start_seconds",
    "From the first use of a log in a process to its value, by what the fold began with: genesis, snapshot, migration.",
    ("key", "from"),
    "genesis above 5 s: the log has no snapshot",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0),
)
events_undecodable = counters(
    "via_events_undecodable",
    "Records that folds skipped because they do not decode.",
    worry="any increase: manage.py check --database names them",
    unit="records",
)
events_unknown = counters(
    "via_events_unknown",
    "Records that folds skipped because no declared event has their name.",
    worry="any increase, unless older code runs beside newer",
    unit="records",
)
events_forward_incompatible = counters(
    "via_events_forward_incompatible",
    "Times a key halted at a record of a newer version.",
    worry="any increase that is not of a deploy",
)
epoch_reset = counters(
    "via_events_epoch_reset",
    "Folds started over because history was rewritten.",
    worry="any increase without a restore",
)
compaction_gap_halt = counters(
    "via_events_compaction_gap_halt",
    "Times a key halted because a discarded prefix is needed.",
    worry="any increase",
)
compaction_reseed = counters(
    "via_events_compaction_reseed", "Folds that were overtaken by a compaction and continued from a snapshot."
)
fold_divergence = counters(
    "via_fold_divergence",
    "Times a fold was seen not to give one value everywhere.",
    worry="any increase: the fold is not pure, and its log only grows",
)
halted = gauges(
    "via_halted",
    "Keys that are halted in a process, by reason: fold, newer, gap, code.",
    "livesum",
    ("key", "reason"),
    "above 0 for 1 min: that process shows an old value",
    "keys",
)
snapshots_saved = counters("via_snapshot_saved", "Snapshots that a process stored.")
snapshots_refused = counters(
    "via_snapshot_refused", "Values that could not be stored in a snapshot.", worry="any increase"
)
snapshots_unbridgeable = counters(
    "via_snapshot_unbridgeable",
    "Times a key halted because its snapshots are of other code.",
    worry="any increase: a migration is missing",
)
snapshot_errors = counter(
    "via_snapshot_errors", "Calls of the snapshot store that failed.", "increases for 15 min"
)
snapshot_seconds = histograms(
    "via_snapshot_seconds",
    "From a value to its stored snapshot.",
    worry="often above 1 s: the value is large, or DATABASE is slow",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0),
)
snapshot_bytes = histograms(
    "via_snapshot_bytes",
    "Size of the data of stored snapshots.",
    unit="bytes",
    buckets=(100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
)
snapshots_compared = counters(
    "via_snapshot_compared",
    "Values that were compared with a snapshot of the same position by another process, by outcome: same, different.",
    ("key", "outcome"),
    "different increases: the fold is not pure",
)
compactions = counters("via_compactions", "Times a process moved the floor of a log.")
compacted_records = counters(
    "via_compacted_records",
    "Records that a process discarded; where they are many it is estimated.",
    unit="records",
)
compaction_seconds = histograms(
    "via_compaction_seconds",
    "How long it took to discard records of a log.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0),
)

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
    compacted_records,
)


@telemetry.LogLoaded.subscribe
def _(event: telemetry.LogLoaded) -> None:
    """Begin every counter at 0: an increase from nothing to 1 raises no alert."""
    if (event.template,) not in fold_events:
        for family in _OF_A_LOG:
            family[event.template,].inc(0)
        for outcome in ("same", "different"):
            snapshots_compared[event.template, outcome].inc(0)


@telemetry.LogReady.subscribe
def _(event: telemetry.LogReady) -> None:
    cold_start_seconds[event.template, event.origin].observe(event.seconds)


@telemetry.Folded.subscribe
def _(event: telemetry.Folded) -> None:
    fold_events[event.template,].inc(event.events)
    if event.offset:
        fold_offset[event.template,].set(event.offset)


@telemetry.FoldLagged.subscribe
def _(event: telemetry.FoldLagged) -> None:
    fold_lag_seconds[event.template,].observe(event.seconds)


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
    snapshot_seconds[event.template,].observe(event.seconds)
    snapshot_bytes[event.template,].observe(event.size)


@telemetry.SnapshotCompared.subscribe
def _(event: telemetry.SnapshotCompared) -> None:
    snapshots_compared[event.template, event.outcome].inc()


@telemetry.SnapshotRefused.subscribe
def _(event: telemetry.SnapshotRefused) -> None:
    snapshots_refused[event.template,].inc()


@telemetry.SnapshotStoreFailed.subscribe
def _(event: telemetry.SnapshotStoreFailed) -> None:
    snapshot_errors.inc()


@telemetry.Compacted.subscribe
def _(event: telemetry.Compacted) -> None:
    compactions[event.template,].inc()
    compacted_records[event.template,].inc(event.records)
    compaction_seconds[event.template,].observe(event.seconds)
