"""The two statements that run once for each event, written by hand: the ORM takes longer than the database."""

from __future__ import annotations

import functools

from django.db import connections

from via_state.bookkeeping.database import tables


@functools.cache
def advance(alias: str, unwanted: bool) -> str:
    """Store a position, as (epoch, offset, record id, offset in flight, id, worker, fence). ``unwanted``: only where nobody waits for it."""
    quote = connections[alias].ops.quote_name
    idle = f"{quote('attempts')} = 0, {quote('next_attempt_at')} = NULL, {quote('stuck_since')} = NULL"
    false = "0" if connections[alias].vendor == "oracle" else "FALSE"
    said = f"{quote('last_error')} = '', {quote('last_traceback')} = ''"
    sets = ", ".join(f"{quote(name)} = %s" for name in ("epoch", "offset", "record_id", "in_flight_offset"))
    return _update_sql(alias, f"{idle}, {said}, {quote('from_floor')} = {false}, {sets}", unwanted)


@functools.cache
def announce(alias: str, unwanted: bool) -> str:
    """Store what is in flight, as (offset, id, worker, fence)."""
    return _update_sql(alias, f"{connections[alias].ops.quote_name('in_flight_offset')} = %s", unwanted)


def _update_sql(alias: str, sets: str, unwanted: bool) -> str:
    quote = connections[alias].ops.quote_name
    mine = " AND ".join(f"{quote(name)} = %s" for name in ("id", "worker", "fence"))
    free = f" AND {quote('wanted_by')} = ''" if unwanted else ""
    return f"UPDATE {quote(tables.positions.model._meta.db_table)} SET {sets} WHERE {mine}{free}"
