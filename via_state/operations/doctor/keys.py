"""Keys that are halted, by cause; and old code that keeps records."""

from __future__ import annotations

from collections import Counter, defaultdict

from via_state.bookkeeping.database import halted_keys, tables
from via_state.bookkeeping.database import peers as peer_rows
from via_state.core.findings import Finding, bad, some
from via_state.operations.snapshots import codes

#: Rows of one statement; keys, and codes, that are named.
LIMIT, MOST = 10_000, 5


def keys() -> list[Finding]:
    """Halted keys, each cause once."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    rows = halted_keys.current(tables.halted_keys.rows()).order_by("since", "key")
    for key, reason, text in rows.values_list("key", "reason", "text")[:LIMIT]:
        found[reason, text][key] += 1
    worst = sorted(found.items(), key=lambda one: -len(one[1]))
    return some("D305", [_halted(*cause, keys) for cause, keys in worst[:MOST]], "No key is halted.")


def _halted(reason: str, text: str, keys: Counter[str]) -> Finding:
    named = ", ".join(repr(key) for key in sorted(keys)[:MOST])
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return bad(
        "D305",
        f"{named}{more}: {reason}, in up to {max(keys.values())} processes. {text}",
        "manage.py state_status --halted",
    )


def old_code() -> list[Finding]:
    """Code that has snapshots, which no process runs: they keep the records that it would need."""
    running = {mark for one in peer_rows.known() if one.alive for mark in one.peer.code.fingerprints.values()}
    old = [one for one in codes() if not one.current and one.fingerprint not in running]
    found = [
        bad(
            "D312",
            f"No process runs code {one.fingerprint} of {one.name!r}, version {one.version}, and its snapshots keep the records of "
            f"{one.logs} logs.",
            f"manage.py retire_snapshots {one.fingerprint}, where it will not run again",
        )
        for one in old[:MOST]
    ]
    return some("D312", found, "No snapshots of code that nobody runs.")
