"""The processes: what code they run, and whether they hear each other."""

from __future__ import annotations

from via_state.bookkeeping.peers import KnownPeer
from via_state.core.doorbell_health import DoorbellHealth
from via_state.core.findings import Finding, bad, lasted
from via_state.operations.condition import Condition

#: Seconds for which two releases may run side by side.
DEPLOY = 3600.0
#: Processes that are named.
MOST = 5


def _name(one: KnownPeer) -> str:
    return f"{one.peer.host}, process {one.peer.pid}"


def deaf(condition: Condition) -> list[Finding]:
    """Those that do not even hear themselves."""
    found = [one for one in condition.peers if one.alive and one.peer.doorbell == DoorbellHealth.ISOLATED]
    return [
        bad(
            "D309",
            f"{_name(one)} does not even hear its own doorbell: it sees changes by sweeps only.",
            "Look at D110 from that machine, and restart the process where D110 is well.",
        )
        for one in found[:MOST]
    ]


def releases(condition: Condition) -> list[Finding]:
    """A log that two processes fold with different code, for longer than a deploy takes."""
    by_log: dict[str, dict[str, list[KnownPeer]]] = {}
    alive = [one for one in condition.peers if one.alive]
    for one in alive:
        for log, fingerprint in one.peer.code.fingerprints.items():
            by_log.setdefault(log, {}).setdefault(fingerprint, []).append(one)
    # By the database's clock: the newest lease was taken at most a lease ago.
    now = max((one.lease_until for one in alive), default=None)
    for log, codes in by_log.items():
        if len(codes) < 2 or now is None:
            continue
        old, new, *_ = sorted(codes.values(), key=lambda some: min(one.started_at for one in some))
        since = (now - min(one.started_at for one in new)).total_seconds()
        if since >= DEPLOY:
            named = ", ".join(_name(one) for one in old[:MOST])
            return [
                bad(
                    "D306",
                    f"Two releases run side by side for {lasted(since)}: they fold {log!r} with different code. The older one: {named}.",
                    "End the processes of the release that is not wanted.",
                )
            ]
    return []
