"""Processes as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, Value, When
from django.db.models.functions import Now

from via_state.bookkeeping.database import leases, tables
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.peers import Code, KnownPeer, Peer, PeerStore

if TYPE_CHECKING:
    from via_state.models import PeerRow


class RowPeers(OnThreads, PeerStore):
    """One statement a renewal."""

    WHAT = "list of processes"

    async def renew(self, peer: Peer, lease: float) -> None:
        await self._run(_renew, peer, lease)

    async def leave(self, peer: str) -> None:
        await self._run(lambda: tables.peers.rows().filter(id=peer).delete())

    async def all(self) -> list[KnownPeer]:
        return await self._run(known)


def _renew(peer: Peer, lease: float) -> None:
    roles = ", ".join(peer.roles)
    now = {"lease_until": leases.until(lease), "doorbell": peer.doorbell, "roles": roles}
    if tables.peers.rows().filter(id=peer.id).update(**now):
        return
    tables.peers.create(
        id=peer.id,
        host=peer.host[:200],
        pid=peer.pid,
        fingerprints=peer.code.fingerprints,
        events=peer.code.events,
        started_at=Now(),
        **now,
    )
    leases.forget(tables.peers.rows())


def known() -> list[KnownPeer]:
    """All of this project, those that are alive first."""
    alive = Case(When(leases.holds(), then=Value(True)), default=Value(False))
    rows = tables.peers.rows().annotate(alive=alive).order_by("-alive", "-started_at", "id")
    return [KnownPeer(_peer(row), row.alive, row.started_at, row.lease_until) for row in rows]


def _peer(row: PeerRow) -> Peer:
    roles = tuple(row.roles.split(", ")) if row.roles else ()
    return Peer(row.id, row.host, row.pid, roles, Code(row.fingerprints, row.events), row.doorbell)
