"""Keys that are halted, by cause; and old code that keeps records."""

from __future__ import annotations

from collections import Counter, defaultdict

from via_state.core.findings import Finding, bad, lasted, several
from via_state.operations.condition import Condition
from via_state.operations.snapshots import codes

#: Keys, causes and codes that are named.
MOST = 5


def halted_keys(condition: Condition) -> list[Finding]:
    """Each cause once, those of most keys first."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    ages: dict[tuple[str, str], float] = {}
    for one in condition.halts:
        found[one.reason, one.text][one.key] += 1
        ages[one.reason, one.text] = max(one.age, ages.get((one.reason, one.text), 0.0))
    worst = sorted(found.items(), key=lambda one: -len(one[1]))
    return [_halted(*cause, keys, ages[cause]) for cause, keys in worst[:MOST]]


def _halted(reason: str, text: str, keys: Counter[str], age: float) -> Finding:
    named = ", ".join(repr(key) for key in sorted(keys)[:MOST])
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return bad(
        "D305",
        f"{named}{more}: {reason}, in {_processes(max(keys.values()))}, for {lasted(age)}. {text}",
        "manage.py state_status --halted",
    )


def _processes(number: int) -> str:
    return "one process" if number == 1 else f"up to {number} processes"


def old_code(condition: Condition) -> list[Finding]:
    """Code that has snapshots, which no process runs: they keep the records that it would need. One statement of its own."""
    running = {mark for one in condition.peers if one.alive for mark in one.peer.code.fingerprints.values()}
    old = [one for one in codes() if not one.current and one.fingerprint not in running]
    return [
        bad(
            "D312",
            f"No process runs code {one.fingerprint} of {one.name!r}, version {one.version}, and its snapshots keep the records of "
            f"{several(one.logs, 'log', 'logs')}.",
            f"manage.py retire_snapshots {one.fingerprint}, where it will not run again",
        )
        for one in old[:MOST]
    ]
