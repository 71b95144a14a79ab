"""What one process counts of its appends, updates, reads and connections."""

from __future__ import annotations

import time

import via_state
from via_state import telemetry
from via_state.conf import settings
from via_state.metrics.declared import counter, counters, gauge, gauges, histogram, histograms

SLOW = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0)

# Appends, updates and reads -------------------------------------------------------------------------------

events_appended = counter("via_events_appended", "Events acknowledged by the backplane.", unit="events")
append_seconds = histogram(
    "via_append_seconds",
    "From the call of append to its acknowledgement.",
    "more than 1% above 0.1 s: the store is slow",
)
append_group_records = histogram(
    "via_append_group_records",
    "Events that one append of the backplane carried: calls that wait for the same key travel together.",
    unit="events",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
append_errors = counters(
    "via_append_errors",
    "Calls of append that raised, by reason: unavailable (nothing was written), unknown (it may have been), too_large, refused.",
    ("reason",),
    "any increase",
)
append_waiting = gauge(
    "via_append_waiting",
    "Calls of append that wait for the backplane.",
    "livesum",
    "grows: the store takes less than the process appends",
    "calls",
)
update_seconds = histograms(
    "via_update_seconds",
    "From the call of update, or set, to its acknowledgement, with all rounds. outcome: ok, contended (given up).",
    ("key", "outcome"),
    "contended increases: the key is too hot for a cell",
)
cell_conflicts = counters(
    "via_cell_conflicts", "Rounds of compare-and-swap lost to another writer.", worry="more than one per update"
)
read_waits = counters(
    "via_read_waits",
    "Reads with at_least, by outcome: caught_up, timeout, epoch (the log was rewritten), halted.",
    ("key", "outcome"),
    "timeout increases: this process folds too late",
)
after_commit_errors = counters(
    "via_after_commit_errors",
    "Errors of on_commit hooks, raised after the commit of a handler, a replay, an operator's action or an append.",
    ("what",),
    "any increase: look into the log of via_state.commits",
)
session_end_failed = counter(
    "via_session_end_failed", "Sessions whose state was not ended with them, or not in time.", "any increase"
)
erasures_failed = counter(
    "via_erasures_failed", "Times the state of a deleted owner could not be erased.", "increases for 15 min"
)


for _reason in ("unavailable", "unknown", "too_large", "refused"):
    append_errors[_reason,].inc(0)  # the first error of a process raises an alert


@telemetry.Appended.subscribe
def _(event: telemetry.Appended) -> None:
    events_appended.inc(sum(event.events))
    append_group_records.observe_all(event.events)
    append_seconds.observe_all(event.seconds)


@telemetry.AppendsWaiting.subscribe
def _(event: telemetry.AppendsWaiting) -> None:
    append_waiting.inc(event.change)


@telemetry.Relayed.subscribe
def _(event: telemetry.Relayed) -> None:
    events_appended.inc(event.events)


@telemetry.AppendFailed.subscribe
def _(event: telemetry.AppendFailed) -> None:
    append_errors[event.reason,].inc(event.calls)


@telemetry.UpdateEnded.subscribe
def _(event: telemetry.UpdateEnded) -> None:
    update_seconds[event.template, event.outcome].observe(event.seconds)


@telemetry.UpdateContended.subscribe
def _(event: telemetry.UpdateContended) -> None:
    cell_conflicts[event.template,].inc()


@telemetry.ReadWaited.subscribe
def _(event: telemetry.ReadWaited) -> None:
    read_waits[event.template, event.outcome].inc()


@telemetry.AfterCommitFailed.subscribe
def _(event: telemetry.AfterCommitFailed) -> None:
    after_commit_errors[event.what,].inc()


@telemetry.SessionEndFailed.subscribe
def _(event: telemetry.SessionEndFailed) -> None:
    session_end_failed.inc()


@telemetry.ErasureFailed.subscribe
def _(event: telemetry.ErasureFailed) -> None:
    erasures_failed.inc()


# The loop and its connections -----------------------------------------------------------------------------

build_info = gauges(
    "via_build_info",
    "1, for the version of via_state and the backplane of a process.",
    "livemostrecent",
    ("version", "backend"),
)
strangers = counters(
    "via_strangers",
    "Looks at rows and messages among ours that are not ours, and were skipped.",
    ("server",),
    "any increase: somebody else writes where via_state does",
)
loop_beat = gauge(
    "via_loop_beat_timestamp_seconds",
    "When the loop of a process last had a turn, as Unix time.",
    "livemin",
    "older than 15 s: something blocks the loop; livez answers 503",
    "seconds",
    from_start=False,
)
loop_lag_seconds = histogram(
    "via_loop_lag_seconds",
    "By how much a beat of the loop, one each second, was late.",
    "often above 0.5 s: a fold or a subscriber takes long, or the machine is full",
    buckets=SLOW,
)
backplane_up = gauge(
    "via_backplane_up",
    "1 while the last sweep of a process succeeded, else 0.",
    "livemin",
    "0 for 1 min: values are old; readyz answers 503",
    from_start=False,
)
backplane_reconnects = counter(
    "via_backplane_reconnects", "Times a sweep succeeded after one that failed.", "several in an hour"
)
backplane_errors = counter(
    "via_backplane_errors",
    "Calls of the backplane or the database that failed for want of a connection, and were tried again or raised.",
    "increases for 5 min",
)
backplane_call_seconds = histograms(
    "via_backplane_call_seconds",
    "How long a call of the backplane took, by its verb and outcome: ok, unavailable (nothing was done), unknown (a write may have been "
    "done), refused. Without a server, as with the memory backplane, there are none.",
    ("verb", "outcome"),
    "more than 1% of a verb's calls are not ok",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5),
)
retrying = gauges(
    "via_retrying",
    "What a process has tried again for longer than a minute, or although the server refuses it, and still fails.",
    "livesum",
    ("what",),
    "above 0: the log says what, and why",
)
sweep_seconds = histogram("via_sweep_seconds", "How long a sweep, one question for all keys, took.", buckets=SLOW)
sweep_keys = histogram(
    "via_sweep_keys",
    "Keys that a sweep's answer named.",
    unit="keys",
    buckets=(0, 1, 10, 100, 1000, 10000, 100000),
)
doorbells = counters(
    "via_doorbells",
    "Changes of keys that a process holds, by how it heard of them: rung (a doorbell), found (a sweep, so the bell was lost).",
    ("heard",),
    "found is above 5% of both for 15 min: doorbells get lost",
)
resident_keys = gauges("via_resident_keys", "Keys in the memory of a process.", "livesum", ("kind",), unit="keys")
for _heard in ("rung", "found"):
    doorbells[_heard,].inc(0)
_down: list[bool] = []  # while the backplane is away


@telemetry.LoopBeat.subscribe
def _(event: telemetry.LoopBeat) -> None:
    loop_lag_seconds.observe(event.late)
    loop_beat.set(time.time())
    append_group_records.add_up()  # for those who look into the files of several processes
    append_seconds.add_up()


@telemetry.Swept.subscribe
def _(event: telemetry.Swept) -> None:
    if _down:
        _down.clear()
        backplane_reconnects.inc()
    build_info[via_state.__version__, settings.BACKEND.rpartition(".")[2]].set(1)
    backplane_up.set(1)
    sweep_seconds.observe(event.seconds)
    sweep_keys.observe(event.keys)
    doorbells["rung",].inc(event.rung)


@telemetry.SweepFailed.subscribe
def _(event: telemetry.SweepFailed) -> None:
    _down[:] = [True]
    backplane_up.set(0)


@telemetry.KeysHeld.subscribe
def _(event: telemetry.KeysHeld) -> None:
    resident_keys["log",].set(event.logs)
    resident_keys["cell",].set(event.cells)
    doorbells["found",].inc(event.found)


@telemetry.StrangerMet.subscribe
def _(event: telemetry.StrangerMet) -> None:
    strangers[event.server,].inc()


_OUTCOMES = ("ok", "unavailable", "unknown", "refused")


@telemetry.BackplaneCalled.subscribe
def _(event: telemetry.BackplaneCalled) -> None:
    child = backplane_call_seconds.get((event.verb, event.outcome))
    if child is None:
        for outcome in _OUTCOMES:
            child = backplane_call_seconds[event.verb, outcome]
        child = backplane_call_seconds[event.verb, event.outcome]
    for seconds in event.seconds:
        child.observe(seconds)


@telemetry.CallFailed.subscribe
def _(event: telemetry.CallFailed) -> None:
    backplane_errors.inc()


@telemetry.OutageLasts.subscribe
def _(event: telemetry.OutageLasts) -> None:
    retrying[event.kind,].inc()


@telemetry.OutageEnded.subscribe
def _(event: telemetry.OutageEnded) -> None:
    retrying[event.kind,].dec()
