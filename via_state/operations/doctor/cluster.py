"""The processes: who lives, what code they run, whether they hear each other."""

from __future__ import annotations

from django.db.models.functions import Now

from via_state.bookkeeping.database import peers as rows
from via_state.bookkeeping.database import tables
from via_state.bookkeeping.peers import KnownPeer
from via_state.core.doorbell_health import DoorbellHealth
from via_state.core.findings import Finding, bad, lasted, some, well

#: Seconds for which two releases may run side by side.
DEPLOY = 3600.0
#: Processes that are named.
MOST = 5


def cluster() -> list[Finding]:
    """What the processes say of themselves."""
    alive = [one for one in rows.known() if one.alive]
    return [*_deaf(alive), *_releases(alive)]


def _name(one: KnownPeer) -> str:
    return f"{one.peer.host}, process {one.peer.pid}"


def _deaf(alive: list[KnownPeer]) -> list[Finding]:
    deaf = [one for one in alive if one.peer.doorbell == DoorbellHealth.ISOLATED]
    found = [
        bad(
            "D309",
            f"{_name(one)} does not even hear its own doorbell: it sees changes by sweeps only.",
            "Look at D110 from that machine, and restart the process where D110 is well.",
        )
        for one in deaf[:MOST]
    ]
    return some("D309", found, f"{len(alive)} processes are alive, and none is deaf.")


def _releases(alive: list[KnownPeer]) -> list[Finding]:
    """A log that two processes fold with different code, for longer than a deploy takes."""
    by_log: dict[str, dict[str, list[KnownPeer]]] = {}
    for one in alive:
        for log, fingerprint in one.peer.code.fingerprints.items():
            by_log.setdefault(log, {}).setdefault(fingerprint, []).append(one)
    now = tables.peers.rows().annotate(now=Now()).values_list("now", flat=True).first()
    for log, codes in by_log.items():
        if len(codes) < 2 or now is None:
            continue
        # By its youngest process each code was last deployed; the younger of two has been there since its first one.
        began = sorted(codes.values(), key=lambda some: min(one.started_at for one in some))
        since = (now - min(one.started_at for one in began[1])).total_seconds()
        if since >= DEPLOY:
            old = ", ".join(_name(one) for one in began[0][:MOST])
            return [
                bad(
                    "D306",
                    f"Two releases run side by side for {lasted(since)}: they fold {log!r} with different code. The older one: {old}.",
                    "End the processes of the release that is not wanted.",
                )
            ]
    return [well("D306", "All processes run the same code, or a deploy is under way.")]
