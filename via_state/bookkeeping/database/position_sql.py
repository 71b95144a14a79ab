"""The statements that run once for each event, written by hand: the ORM takes longer than the database.

They find rows by their numbers, and keep the planner from the index over ``worker``: see `position_rows`.
"""

from __future__ import annotations

import functools

from django.db import connections
from django.db.models.constants import OnConflict

from via_state.bookkeeping.database import tables


@functools.cache
def advance(alias: str, unwanted: bool) -> str:
    """Store a position, as (epoch, offset, record id, offset in flight, id, worker, fence). ``unwanted``: only where nobody waits for it."""
    quote = connections[alias].ops.quote_name
    sets = ", ".join(f"{quote(name)} = {value}" for name, value in _passed(alias).items())
    return _update_sql(alias, f"{sets}, {quote('in_flight_offset')} = %s", unwanted)


def _passed(alias: str) -> dict[str, str]:
    """What a position is that the record before has left, by column."""
    idle = {
        "attempts": "0",
        "next_attempt_at": "NULL",
        "stuck_since": "NULL",
        "last_error": "''",
        "last_traceback": "''",
    }
    return idle | {"from_floor": _false(alias), "epoch": "%s", "offset": "%s", "record_id": "%s"}


def _false(alias: str) -> str:
    return "0" if connections[alias].vendor == "oracle" else "FALSE"


@functools.cache
def hand_on(alias: str) -> str:
    """Store a position, and what is in flight of another one: ``id``, ``worker``, ``fence``, ``epoch``, ``offset``, ``record_id`` of the
    one, ``other``, ``other_fence``, ``in_flight_offset`` of the other. The count of rows says whether both were.
    """
    quote = connections[alias].ops.quote_name
    one = f"{quote('id')} = %(id)s"
    values = {name: f"%({name})s" if value == "%s" else value for name, value in _passed(alias).items()}
    sets = ", ".join(
        f"{quote(name)} = CASE WHEN {one} THEN {value} ELSE {quote(name)} END" for name, value in values.items()
    )
    first = f"{one} AND {quote('fence')} = %(fence)s"
    other = f"{quote('id')} = %(other)s AND {quote('fence')} = %(other_fence)s AND {quote('wanted_by')} = ''"
    return (
        f"UPDATE {_table(alias)} SET {sets}, {quote('in_flight_offset')} = CASE WHEN {one} THEN 0 ELSE %(in_flight_offset)s END "
        f"WHERE {quote('id')} IN (%(id)s, %(other)s) AND {_held_by(alias, '%(worker)s')} AND (({first}) OR ({other}))"
    )


def _held_by(alias: str, worker: str) -> str:
    """`position_rows.held_by`, as SQL."""
    return f"CASE WHEN {connections[alias].ops.quote_name('worker')} = {worker} THEN 1 ELSE 0 END = 1"


@functools.cache
def announce(alias: str, unwanted: bool) -> str:
    """Store what is in flight, as (offset, id, worker, fence)."""
    return _update_sql(alias, f"{connections[alias].ops.quote_name('in_flight_offset')} = %s", unwanted)


def _update_sql(alias: str, sets: str, unwanted: bool) -> str:
    quote = connections[alias].ops.quote_name
    mine = f"{quote('id')} = %s AND {_held_by(alias, '%s')} AND {quote('fence')} = %s"
    free = f" AND {quote('wanted_by')} = ''" if unwanted else ""
    return f"UPDATE {_table(alias)} SET {sets} WHERE {mine}{free}"


@functools.cache
def begin(alias: str, count: int) -> str:
    """Insert ``count`` positions that are not there yet, each as (handler, hash, key, worker, fence, offset in flight).

    By hand: the ORM takes longer to make a row than the database to store it.
    """
    connection = connections[alias]
    quote, ops = connection.ops.quote_name, connection.ops
    given = ("handler_id", "position_hash", "key", "worker", "fence", "in_flight_offset")
    fixed = _passed(alias) | {"epoch": "''", "offset": "0", "record_id": "''", "halted": "''", "halted_text": "''"}
    fixed |= {"wanted_by": "''"}
    columns = ", ".join(map(quote, (*given, *fixed)))
    row = f"({', '.join([*['%s'] * len(given), *fixed.values()])})"
    verb = ops.insert_statement(on_conflict=OnConflict.IGNORE)
    suffix = ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], [])
    return f"{verb} {_table(alias)} ({columns}) VALUES {', '.join([row] * count)} {suffix}"


def _table(alias: str) -> str:
    return connections[alias].ops.quote_name(tables.positions.model._meta.db_table)
