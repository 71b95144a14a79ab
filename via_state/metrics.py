"""Prometheus metrics, on the default registry; django-prometheus and any other exporter find them there.

``key`` is the declared key (for a family its template), never a session, a user or a room.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

events_appended = Counter("via_events_appended", "Events acknowledged by the backplane.")
append_seconds = Histogram(
    "via_append_seconds", "From the call of append to its acknowledgement.", buckets=_LATENCY
)

events_undecodable = Counter("via_events_undecodable", "Records skipped because they do not decode.", ["key"])
events_unknown = Counter(
    "via_events_unknown", "Records skipped because no declared event has their name.", ["key"]
)
events_forward_incompatible = Counter(
    "via_events_forward_incompatible", "Times a key halted at a record of a newer version.", ["key"]
)
epoch_reset = Counter("via_events_epoch_reset", "Folds started over because history was rewritten.", ["key"])
compaction_gap_halt = Counter(
    "via_events_compaction_gap_halt", "Times a key halted because a discarded prefix is needed.", ["key"]
)
compaction_reseed = Counter(
    "via_events_compaction_reseed",
    "Projections that fell behind a compaction and went on from a snapshot.",
    ["key"],
)
fold_divergence = Counter(
    "via_fold_divergence", "Times a fold was seen not to give one value everywhere.", ["key"]
)
snapshots_saved = Counter("via_snapshot_saved", "Snapshots written by this pod.", ["key"])
snapshots_refused = Counter("via_snapshot_refused", "Values that could not be stored in a snapshot.", ["key"])
snapshots_unbridgeable = Counter(
    "via_snapshot_unbridgeable", "Times a key halted because its snapshots are of other code.", ["key"]
)
snapshot_errors = Counter("via_snapshot_errors", "Calls of the snapshot store that failed.")
compactions = Counter("via_compactions", "Times this pod moved the floor of a log.", ["key"])
fold_offset = Gauge("via_fold_offset", "Offset up to which this pod has folded the log.", ["key"])
halted = Gauge("via_halted", "Projections of this pod that stand still now.", ["key", "reason"])

session_end_failed = Counter(
    "via_session_end_failed", "Sessions whose state was not ended with them, or not in time."
)

outbox_waiting = Gauge(
    "via_outbox_waiting", "Records in the outbox that wait to be relayed, as this pod saw it last."
)
outbox_oldest_seconds = Gauge("via_outbox_oldest_seconds", "Age of the oldest of them; 0 when none waits.")
outbox_set_aside = Gauge(
    "via_outbox_set_aside", "Records in the outbox that were set aside and wait for a person."
)

erasures_failed = Counter("via_erasures_failed", "Times the state of a deleted owner could not be erased.")

cell_conflicts = Counter("via_cell_conflicts", "Rounds of compare-and-swap lost to another writer.", ["key"])
backplane_errors = Counter("via_backplane_errors", "Calls of the backplane that failed for want of a connection.")
retrying = Gauge(
    "via_retrying",
    "What this process has tried again for longer than a minute, or although the server refuses it, and still fails.",
    ["what"],
)
after_commit_errors = Counter(
    "via_after_commit_errors",
    "Errors of on_commit hooks, raised after the commit of a handler, a replay, an operator's action or an append.",
    ["what"],
)

consumer_error = Counter("via_consumer_error", "Deliveries that failed.", ["name", "key"])
consumer_poisoned = Counter("via_consumer_poisoned", "Records that became dead letters.", ["name", "key"])
consumer_undecodable = Counter(
    "via_consumer_undecodable", "Records that were not delivered because they do not decode.", ["name", "key"]
)
consumer_forward_incompatible = Counter(
    "via_consumer_forward_incompatible",
    "Times an event handler met a record that only newer code knows.",
    ["name", "key"],
)
consumer_stuck = Gauge(
    "via_consumer_stuck",
    "Failed attempts of the record that fails most often; 0 when none fails.",
    ["name", "key"],
)
consumer_halted = Gauge(
    "via_consumer_halted",
    "Positions that stand still until an operator says where to go on.",
    ["name", "key", "reason"],
)
consumer_lag_events = Gauge(
    "via_consumer_lag_events",
    "Offsets between where this worker's handlers stand and the heads of the logs.",
    ["name", "key"],
)
consumer_lag_seconds = Gauge(
    "via_consumer_lag_seconds",
    "For how long the log that waits longest has had records to handle.",
    ["name", "key"],
)
consumer_latency_seconds = Histogram(
    "via_consumer_latency_seconds",
    "From a worker's noticing that a log moved to the start of the handler.",
    ["name", "key"],
    buckets=_LATENCY,
)
consumer_delivery_seconds = Histogram(
    "via_consumer_delivery_seconds", "How long the handler ran.", ["name", "key"], buckets=_LATENCY
)
