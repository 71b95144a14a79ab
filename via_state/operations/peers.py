"""The processes of the cluster, and who runs event handlers: who is alive, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Case, QuerySet, Value, When

from via_state.bookkeeping.database import leases, tables
from via_state.bookkeeping.database.workers import alive as alive_workers
from via_state.bookkeeping.peers import KnownPeer, Peer
from via_state.models import HandlerPosition, HandlerWorker
from via_state.pod.pod import Pod

__all__ = ["KnownPeer", "Peer", "alive_peers", "alive_workers", "held_by", "peers", "workers"]


def peers(pod: Pod) -> list[KnownPeer]:
    """All processes, those that are alive first; those that ended without leaving are known for a day."""
    return pod.thread.call(pod.books.peers.all())


def alive_peers(ids: Collection[str]) -> set[str]:
    """Those of these processes that are alive."""
    return set(leases.alive(tables.peers.rows()).filter(pk__in=ids).values_list("pk", flat=True))


def workers(ids: Collection[str]) -> dict[str, HandlerWorker]:
    """These workers, by id, each with ``alive``."""
    alive = Case(When(leases.holds(), then=Value(True)), default=Value(False))
    found = tables.workers.rows().filter(pk__in=ids).annotate(alive=alive)
    return {row.pk: row for row in found}


def held_by(worker: str) -> QuerySet[HandlerPosition]:
    """The positions that a worker holds."""
    return tables.positions.rows().filter(worker=worker)
