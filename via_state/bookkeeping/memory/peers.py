"""The pods of one process."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from via_state.bookkeeping.peers import KnownPeer, Peer, PeerStore


class MemoryPeers(PeerStore):
    """All on the loop."""

    def __init__(self) -> None:
        self._known: dict[str, KnownPeer] = {}

    async def renew(self, peer: Peer, lease: float) -> None:
        now, before = timezone.now(), self._known.get(peer.id)
        started = now if before is None else before.started_at
        self._known[peer.id] = KnownPeer(peer, True, started, now + timedelta(seconds=lease))

    async def leave(self, peer: str) -> None:
        self._known.pop(peer, None)

    async def all(self) -> list[KnownPeer]:
        return sorted(self._known.values(), key=lambda one: one.started_at, reverse=True)
