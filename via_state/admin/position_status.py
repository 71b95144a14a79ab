"""The lag of positions, and who holds them: looked up at once for the rows of one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from via_state.admin.lags import lags_of, place_of
from via_state.models import HandlerPosition, HandlerWorker
from via_state.operations.peers import workers


@dataclass(frozen=True, slots=True)
class PositionStatus:
    """``lag`` is in events, None where it is not known. ``holder`` is in words; ``held`` says whether the lease holds."""

    lag: int | None
    holder: str = "nobody"
    held: bool = False
    until: datetime | None = None


def statuses(rows: Sequence[HandlerPosition]) -> dict[int, PositionStatus]:
    """By the rows' primary keys."""
    lags = lags_of(place_of(row) for row in rows)
    found = workers([row.worker for row in rows if row.worker])
    return {row.pk: _status(row, lags.get(place_of(row)), found.get(row.worker)) for row in rows}


def _status(row: HandlerPosition, lag: int | None, worker: HandlerWorker | None) -> PositionStatus:
    if not row.worker:
        return PositionStatus(lag)
    if worker is None:
        return PositionStatus(lag, "a worker that is gone")
    held = bool(worker.alive)  # type: ignore[attr-defined]
    return PositionStatus(lag, str(worker) if held else f"{worker} (its lease is over)", held, worker.lease_until)
