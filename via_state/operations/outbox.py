"""Records that the outbox set aside."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import outbox as rows
from via_state.bookkeeping.database.outbox import Backlog
from via_state.models import OutboxRecord
from via_state.operations.logs import check_keys
from via_state.operations.refusal import Refused

__all__ = ["Backlog", "discard", "put_back", "set_aside"]


def set_aside(keys: Collection[str] = (), ids: Collection[int] = ()) -> QuerySet[OutboxRecord]:
    """Those of these keys, and of these ids, oldest first. Raises `Refused` for what there is not."""
    found = rows.set_aside()
    if keys:
        check_keys(keys, found.values_list("key", flat=True).distinct())
        found = found.filter(key__in=keys)
    if ids:
        if missing := sorted(set(ids) - set(found.values_list("pk", flat=True))):
            raise Refused(f"There is no record {missing[0]} that is set aside.")
        found = found.filter(pk__in=ids)
    return found.order_by("pk")


def put_back(pk: int, by: str) -> bool:
    """Have a record relayed again; False when it is not set aside any more. It keeps its place before younger ones."""
    return _resolve(pk, by, status=rows.WAITING, error="", set_aside_at=None)


def discard(pk: int, by: str) -> bool:
    """Say that a record is never to be appended; False when it is not set aside any more. It is kept."""
    return _resolve(pk, by, status=rows.DISCARDED)


def _resolve(pk: int, by: str, **changed: Any) -> bool:
    return bool(set_aside().filter(pk=pk).update(resolved_at=Now(), resolved_by=by, **changed))
