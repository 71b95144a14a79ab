"""Who is alive: whose ``lease_until`` is not over by the database's clock. The same for processes, workers and what they list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Now

M = TypeVar("M", bound=Model)

#: Rows whose lease ended so long ago are removed.
FORGET = timedelta(days=1)


def until(seconds: float) -> Any:
    """The end of a lease that is taken, or renewed, now."""
    return Now() + timedelta(seconds=seconds)


def holds() -> Q:
    """The condition that a lease holds."""
    return Q(lease_until__gt=Now())


def alive(rows: QuerySet[M]) -> QuerySet[M]:
    """Those whose lease holds."""
    return rows.filter(holds())


def forget(rows: QuerySet[M]) -> None:
    """Remove those that ended long ago without leaving."""
    rows.filter(lease_until__lt=Now() - FORGET).delete()
