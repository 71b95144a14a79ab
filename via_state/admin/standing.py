"""How far positions are behind, and who holds them: looked up at once for the rows of one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from via_state.admin.heads import heads_of
from via_state.conf import settings
from via_state.core.records import Head
from via_state.models import HandlerPosition, HandlerWorker


@dataclass(frozen=True, slots=True)
class Standing:
    """``lag`` is in events, None where it is not known. ``holder`` is in words; ``held`` says whether the lease holds."""

    lag: int | None
    holder: str = "nobody"
    held: bool = False
    until: datetime | None = None


def lag_of(row: HandlerPosition, head: Head | None) -> int | None:
    """Events behind the head; None where that can't be told: no answer, or another history of the log."""
    if head is None or (row.epoch and head.position.epoch != row.epoch):
        return None
    return max(0, head.position.offset - max(row.offset, head.floor.offset if row.from_floor else 0))


def standings(rows: Sequence[HandlerPosition]) -> dict[int, Standing]:
    """By the rows' primary keys."""
    heads = heads_of(row.key for row in rows)
    alive = Case(When(Q(lease_until__gt=Now()), then=Value(True)), default=Value(False))
    workers = HandlerWorker.objects.using(settings.DATABASE).annotate(alive=alive)
    found = workers.in_bulk([row.worker for row in rows if row.worker])
    return {row.pk: _standing(row, heads.get(row.key), found.get(row.worker)) for row in rows}


def _standing(row: HandlerPosition, head: Head | None, worker: HandlerWorker | None) -> Standing:
    lag = lag_of(row, head)
    if not row.worker:
        return Standing(lag)
    if worker is None:
        return Standing(lag, "a worker that is gone")
    held = bool(worker.alive)  # type: ignore[attr-defined]
    return Standing(lag, str(worker) if held else f"{worker} (its lease is over)", held, worker.lease_until)
