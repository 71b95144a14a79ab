"""Rows of positions, found so that a database never goes through all that a handler or a worker has. On a database thread.

Of a handler or a worker that is younger than the statistics of the table PostgreSQL expects a row or none, and where a condition names
one it takes that one's index and reads through all its rows: for each event, with as many rows as there are keys. So rows are found by
``position_hash``, which alone is unique, or by their numbers, and conditions beside these are written so that no index serves them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import Case, QuerySet, When

from via_state.bookkeeping.database import tables

if TYPE_CHECKING:
    from via_state.models import HandlerPosition


def hash_position(handler: int, key: str) -> str:
    """What stands for a handler, by the number of its row, and a key."""
    return hashlib.blake2b(f"{handler}\0{key}".encode(), digest_size=16).hexdigest()


def positions_at(handlers: Iterable[int], keys: Iterable[str]) -> QuerySet[HandlerPosition]:
    """The positions of these handlers, by the numbers of their rows, on these keys. Some hundred in one question."""
    keys = list(keys)
    hashes = [hash_position(handler, key) for handler in handlers for key in keys]
    return tables.positions.rows().filter(position_hash__in=hashes)


def held_by(rows: QuerySet[HandlerPosition], *workers: str) -> QuerySet[HandlerPosition]:
    """Those of a few rows that one of these workers holds; "" is nobody."""
    return rows.alias(theirs=Case(When(worker__in=workers, then=1), default=0)).filter(theirs=1)
