"""For each alert: series for which it fires, after how long, and what it says; and series near them for which it must not fire."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """``series``: selectors with their values, one each ``step`` seconds, in Prometheus' notation for tests; time begins at 0. ``at``: when it
    fires; ``labels`` and ``description`` of what it then says. ``quiet``: other worlds, in which it does not fire at any of the ``moments``.
    """

    alert: str
    severity: str
    series: dict[str, str]
    at: str
    description: str
    labels: dict[str, str] = field(default_factory=dict)
    quiet: tuple[dict[str, str], ...] = ()
    #: Before it, the alert does not fire: its ``for`` holds back what is over at once.
    not_at: str = "1m"
    step: int = 30
    moments: tuple[str, ...] = ("3m", "6m", "8m", "12m", "17m", "31m")


HOURS_6 = 180  # long steps
BUDGET = ("10m", "1h", "2h", "7h")
SHIP = {"name": "ship", "key": "orders"}
_SHIP = 'name="ship",key="orders"'
_POSITIONS = f'via_consumer_positions{{{_SHIP},state="%s"}}'
_DELIVERIES = f'via_consumer_deliveries_total{{{_SHIP},outcome="%s"}}'
_FAST, _ALL = 'via_append_seconds_bucket{le="0.1"}', "via_append_seconds_count"
_UP = {'via_workers{state="alive"}': "2x1000"}


def _appends(slow: int, well: int = 0) -> dict[str, str]:
    """So many of a hundred are slow, after so many steps in which none was."""
    return {_FAST: f"0+100x{well} {100 * well}+{100 - slow}x1000", _ALL: f"0+100x{well} {100 * well}+100x1000"}


def _deliveries(failed: int, well: int = 0) -> dict[str, str]:
    ok = f"0+100x{well} {100 * well}+{100 - failed}x1000"
    return {_DELIVERIES % "ok": ok, _DELIVERIES % "failed": f"0x{well} 0+{failed}x1000"}


CASES = (
    Case(
        "ViaNotWatched",
        "critical",
        {"up": "1x100"},
        "11m",
        "No scraped process shows via_workers, so none of the alerts below can fire.",
        quiet=({'via_workers{state="alive"}': "0x1000"},),
        not_at="9m",
    ),
    Case(
        "ViaKeyHalted",
        "critical",
        {f'via_halted_pods{{key="feed",reason="fold",instance="{pod}"}}': "0x4 2x20" for pod in "ab"},
        "5m",
        "feed is halted (fold) in 2 processes: they show its last good value.",
        {"key": "feed", "reason": "fold"},
        quiet=(
            {'via_halted_pods{key="feed",reason="fold"}': "0 1 0x1000"},
            {'via_halted_pods{key="feed",reason="unreadable"}': "1x1000"},
        ),
        not_at="2m",
    ),
    Case(
        "ViaRecordUnreadable",
        "warning",
        {'via_halted_pods{key="feed",reason="unreadable"}': "1x40"},
        "6m",
        "feed lacks records in 1 processes, and makes no snapshots there.",
        {"key": "feed"},
        quiet=({'via_halted_pods{key="feed",reason="gap"}': "1x1000"},),
        not_at="4m",
    ),
    Case(
        "ViaFoldDiverged",
        "critical",
        {'via_halted_pods{key="feed",reason="divergence"}': "0x4 1x20"},
        "5m",
        "feed is no longer snapshotted nor compacted: its fold is not pure.",
        {"key": "feed"},
        quiet=({'via_halted_pods{key="feed",reason="fold"}': "1x1000"},),
    ),
    Case(
        "ViaHandlerHalted",
        "critical",
        {_POSITIONS % "halted": "0x4 3x20"},
        "5m",
        "ship on orders is halted at 3 positions.",
        SHIP,
        quiet=({_POSITIONS % "halted": "0x1000", _POSITIONS % "stuck": "3x1000"},),
    ),
    Case(
        "ViaHandlerStuck",
        "warning",
        {_POSITIONS % "stuck": "1x40"},
        "11m",
        "ship on orders is stuck at 1 positions; the records after them wait.",
        SHIP,
        quiet=({_POSITIONS % "stuck": "_ 1x15 0x1000"}, {_POSITIONS % "running": "9x1000"}),
        not_at="9m",
    ),
    Case(
        "ViaHandlerLagging",
        "warning",
        # The event of minute 2; two processes show it, one of them as it was a moment ago.
        {f'via_consumer_oldest_timestamp_seconds{{{_SHIP},instance="{i}"}}': f"{120 + i}x80" for i in (0, 1)},
        "20m",
        "An event of orders has waited for ship for 18m 0s.",
        SHIP,
        quiet=(
            # Each is 4 minutes old when it is handled.
            {f"via_consumer_oldest_timestamp_seconds{{{_SHIP}}}": "_x8 0+30x900"},
            # One was 9 minutes old, and then none waits.
            {f"via_consumer_oldest_timestamp_seconds{{{_SHIP}}}": "0x18 stale"},
        ),
        not_at="16m",
    ),
    Case(
        "ViaDeadLetters",
        "warning",
        # The first of all: the series begins with it.
        {f"via_deadletters_waiting{{{_SHIP}}}": "_x10 1x30"},
        "12m",
        "1 records of orders were given up by ship.",
        SHIP,
        quiet=({f"via_deadletters_waiting{{{_SHIP}}}": "0x10 1x5 0x1000"},),
        not_at="9m",
    ),
    Case(
        "ViaDeadLettersOld",
        "warning",
        {f"via_deadletters_oldest_timestamp_seconds{{{_SHIP}}}": "0x3000"},
        "24h10m",
        "A record of orders that ship gave up has waited for 1d 0h 10m 0s.",
        SHIP,
        quiet=({f"via_deadletters_oldest_timestamp_seconds{{{_SHIP}}}": "600x2900"},),
        not_at="24h",
        moments=("24h9m",),
    ),
    Case(
        "ViaNoWorker",
        "critical",
        {
            'via_workers{state="alive"}': "1x4 0x40",
            'via_workers{state="lost"}': "0x4 1x40",
            _POSITIONS % "idle": "4x44",
        },
        "10m",
        "Event handlers do not run; their records are kept.",
        quiet=(
            {'via_workers{state="alive"}': "0x1000"},  # no handlers
            {**_UP, _POSITIONS % "idle": "4x1000"},
        ),
        not_at="6m",
    ),
    Case(
        "ViaWorkerWithoutLease",
        "warning",
        {'via_lease_until_timestamp_seconds{instance="w1"}': "60x20"},
        "4m",
        "The worker w1 has had no lease for 3m 0s: it begins nothing.",
        {"instance": "w1"},
        quiet=(
            {'via_lease_until_timestamp_seconds{instance="w1"}': "30+30x1000"},
            {"up": "1x1000"},  # a web process has no lease, and shows none
        ),
        not_at="2m",
    ),
    Case(
        "ViaOutboxStuck",
        "critical",
        {"via_outbox_oldest_timestamp_seconds": "0x20"},
        "4m",
        "A record has waited in the outbox for 4m 0s.",
        quiet=({"via_outbox_oldest_timestamp_seconds": "0+30x1000"},),
        not_at="2m",
    ),
    Case(
        "ViaOutboxSetAside",
        "warning",
        {"via_outbox_set_aside": "2x20"},
        "6m",
        "2 records of the outbox were set aside, and wait for a person.",
        quiet=({"via_outbox_set_aside": "0x1000", "via_outbox_waiting": "9x1000"},),
        not_at="4m",
    ),
    Case(
        "ViaTruthUnreadable",
        "warning",
        {"via_collector_errors_total": "0x4 1+1x40"},
        "10m",
        "Metrics of handlers, dead letters and the outbox were left out 16 times in 10 minutes.",
        quiet=({"via_collector_errors_total": "3x1000"},),
        not_at="2m",
    ),
    Case(
        "ViaBackplaneAway",
        "critical",
        {'via_backplane_up{instance="a"}': "1x4 0x20", 'via_backplane_up{instance="b"}': "1x24"},
        "5m",
        "a shows old values, and can not write.",
        {"instance": "a"},
        quiet=({'via_backplane_up{instance="a"}': "1 0 1x1000"},),
        not_at="2m",
    ),
    Case(
        "ViaLoopHangs",
        "critical",
        {'via_loop_beat_timestamp_seconds{instance="a"}': "0+30x4 120x20"},
        "5m",
        "The loop of a has had no turn for 3m 0s.",
        {"instance": "a"},
        quiet=({'via_loop_beat_timestamp_seconds{instance="a"}': "0+30x1000"},),
        not_at="2m",
    ),
    Case(
        "ViaRetrying",
        "warning",
        {f'via_retrying{{what="outbox",instance="{pod}"}}': "0x4 1x20" for pod in "ab"},
        "8m",
        "2 processes have failed at outbox for more than a minute.",
        {"what": "outbox"},
        quiet=({'via_retrying{what="outbox"}': "1x5 0x1000"},),
        not_at="6m",
    ),
    Case(
        "ViaAppendErrors",
        "warning",
        {'via_append_errors_total{reason="unknown"}': "0x4 1x20"},
        "5m",
        "1 appends raised in 5 minutes (unknown).",
        {"reason": "unknown"},
        quiet=({'via_append_errors_total{reason="unknown"}': "7x1000"},),
        not_at="2m",
    ),
    Case(
        "ViaDoorbellsLost",
        "warning",
        {'via_doorbells_total{heard="found"}': "0+1x80", 'via_doorbells_total{heard="rung"}': "0+9x80"},
        "31m",
        "10% of changes are found by sweeps only: they are seen late.",
        quiet=(
            {'via_doorbells_total{heard="found"}': "0+1x1000", 'via_doorbells_total{heard="rung"}': "0+30x1000"},
            # One of few.
            {'via_doorbells_total{heard="found"}': "0+1x1000", 'via_doorbells_total{heard="rung"}': "0+1x1000"},
        ),
        not_at="15m",
    ),
    Case(
        "ViaReleasesSideBySide",
        "warning",
        {f'via_pods{{role="state",release="{one}",instance="{one}"}}': "2x1000" for one in "ab"},
        "62m",
        "2 releases run side by side: what one folds, another may fold otherwise.",
        quiet=(
            {f'via_pods{{role="{one}",release="a"}}': "2x1000" for one in ("state", "event handlers")},
            {
                'via_pods{role="state",release="a"}': "2x60 stale",
                'via_pods{role="state",release="b"}': "_x50 2x1000",
            },
        ),
        not_at="58m",
        moments=("61m", "90m"),
    ),
    Case(
        "ViaLogsOnlyGrow",
        "warning",
        {'via_floor_pinned_logs{key="orders",by="handler"}': "1x1000"},
        "25h",
        "Nothing of 1 logs of orders has been discarded for a day, because of a handler.",
        {"key": "orders", "by": "handler"},
        quiet=(
            {'via_floor_pinned_logs{key="orders",by="age"}': "9x1000"},
            {'via_floor_pinned_logs{key="orders",by="code"}': "1x100 0 1x500"},
        ),
        not_at="23h",
        step=HOURS_6,
        moments=("12h", "24h", "26h"),
    ),
    Case(
        "ViaErasuresFail",
        "warning",
        {"via_erasures_failed_total": "0+1x80"},
        "31m",
        "Erasures failed 30 times in 15 minutes.",
        quiet=({"via_erasures_failed_total": "0x4 1x1000"},),
        not_at="15m",
    ),
    Case(
        "ViaAppendErrorBudgetBurn",
        "critical",
        _appends(20, well=HOURS_6),
        "7h",
        "20% of appends take longer than 100 ms, where 1% may.",
        {"long": "1h", "short": "5m"},
        quiet=(
            _appends(1),
            # Half of them are slow, for four minutes.
            {_FAST: "0+100x200 20000+50x2 20100+100x600", _ALL: "0+100x804"},
        ),
        step=120,
        moments=BUDGET,
    ),
    Case(
        "ViaAppendErrorBudgetBurn",
        "warning",
        _appends(8),
        "6h",
        "8% of appends take longer than 100 ms, where 1% may.",
        {"long": "6h", "short": "30m"},
        quiet=(_appends(5),),
        not_at="10m",
        step=120,
        moments=BUDGET,
    ),
    Case(
        "ViaHandlerErrorBudgetBurn",
        "warning",
        _deliveries(20, well=HOURS_6),
        "7h",
        "20% of the deliveries of ship on orders fail, where 1% may.",
        {**SHIP, "long": "1h", "short": "5m"},
        quiet=(_deliveries(1), {_DELIVERIES % "ok": "0+100x1000"}),
        step=120,
        moments=BUDGET,
    ),
    Case(
        "ViaHandlerErrorBudgetBurn",
        "warning",
        _deliveries(8),
        "6h",
        "8% of the deliveries of ship on orders fail, where 1% may.",
        {**SHIP, "long": "6h", "short": "30m"},
        quiet=(_deliveries(5),),
        not_at="10m",
        step=120,
        moments=BUDGET,
    ),
)
