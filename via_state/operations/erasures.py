"""State of owners that are gone, and what an erasure can't reach."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from via_state.bookkeeping.database import tables
from via_state.declarations.catalog import concrete_logs
from via_state.declarations.scope import APP


class Waiting(NamedTuple):
    """Owners whose state waits to be erased, since when, and the last error of the one that failed most."""

    owners: int
    since: datetime
    error: str


def waiting() -> Waiting | None:
    """What waits; None where nothing does."""
    rows = tables.erasures.rows().order_by("asked_at")
    first = rows.first()
    if first is None:
        return None
    failed = rows.exclude(last_error="").order_by("-attempts").first()
    return Waiting(rows.count(), first.asked_at, "" if failed is None else failed.last_error)


def erased(home: str) -> None:
    """Everything of the owner at ``home`` was removed: nothing waits."""
    tables.erasures.rows().filter(home=home).delete()


class Kept(NamedTuple):
    """What has no owner: declared logs, and how many snapshots, dead letters and records of the outbox there are."""

    logs: list[str]
    snapshots: int
    dead_letters: int
    outbox: int


def not_erased() -> Kept:
    """Where events may say something about a person."""
    return Kept(
        sorted({one.template().text for one in concrete_logs() if one.scope is APP}),
        tables.snapshots.rows().filter(data__isnull=False).count(),
        tables.dead_letters.rows().count(),
        tables.outbox.rows().count(),
    )
