"""What a person does to records that were set aside. Anywhere but on an event loop."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from via_state.bookkeeping.database import outbox as rows


def put_back(pk: int, by: str) -> bool:
    """Have a record relayed again; False when it is not set aside any more. It keeps its place before younger ones."""
    return _settle(pk, by, status=rows.WAITING, error="", set_aside_at=None)


def discard(pk: int, by: str) -> bool:
    """Say that a record is never to be appended; False when it is not set aside any more. It is kept."""
    return _settle(pk, by, status=rows.DISCARDED)


def _settle(pk: int, by: str, **changed: Any) -> bool:
    return bool(rows.set_aside().filter(pk=pk).update(settled_at=Now(), settled_by=by, **changed))
