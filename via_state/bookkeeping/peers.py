"""The processes of the cluster, each with a lease: the port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple


class Code(NamedTuple):
    """What the code of a process reads: fingerprints of its declared logs, and the newest event versions, by key or template."""

    fingerprints: Mapping[str, str]
    events: Mapping[str, Mapping[str, int]]

    @property
    def release(self) -> str:
        """One short text for all fingerprints: processes of the same code have the same."""
        return blake2b(repr(sorted(self.fingerprints.items())).encode(), digest_size=4).hexdigest()


NO_CODE = Code({}, {})


@dataclass(frozen=True, slots=True)
class Peer:
    """A process as it describes itself. ``id`` is its pod's: halted keys, snapshot leases and workers name it.

    ``roles`` are what it does beside reading and writing state: "event handlers", "projections". ``doorbell`` is a `DoorbellHealth`.
    """

    id: str
    host: str
    pid: int
    roles: tuple[str, ...] = ()
    code: Code = field(default=NO_CODE)
    doorbell: str = "unknown"


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """What the books say about a process. ``alive``: its lease holds; times are the books' own."""

    peer: Peer
    alive: bool
    started_at: datetime
    lease_until: datetime


class PeerStore(ABC):
    """Raises `BackplaneUnavailable` when it can't be reached."""

    @abstractmethod
    async def renew(self, peer: Peer, lease: float) -> None:
        """Be alive for ``lease`` seconds from now."""

    @abstractmethod
    async def leave(self, peer: str) -> None:
        """End well: nothing is known of the process any more."""

    @abstractmethod
    async def all(self) -> list[KnownPeer]:
        """All that are alive, then those that ended without leaving, for a day; each the youngest first."""
