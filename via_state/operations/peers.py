"""Who is alive, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Case, Q, QuerySet, Value, When
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.workers import alive as alive_workers
from via_state.models import HandlerPosition, HandlerWorker

__all__ = ["alive_workers", "held_by", "workers"]


def workers(ids: Collection[str]) -> dict[str, HandlerWorker]:
    """These workers, by id, each with ``alive``."""
    alive = Case(When(Q(lease_until__gt=Now()), then=Value(True)), default=Value(False))
    found = tables.workers.rows().filter(pk__in=ids).annotate(alive=alive)
    return {row.pk: row for row in found}


def held_by(worker: str) -> QuerySet[HandlerPosition]:
    """The positions that a worker holds."""
    return tables.positions.rows().filter(worker=worker)
