"""Statements that run once for each event, on the shortest way to the database."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections

try:
    from psycopg import Connection, Cursor
except ImportError:  # another database, or an older psycopg
    Connection = Cursor = None  # type: ignore[assignment, misc]


class _Last(threading.local):
    """The cursor that a thread used last: making one takes longer than sending a statement."""

    cursor: Any = None


_last = _Last()


def execute(alias: str, sql: str, values: Sequence[object] | Mapping[str, object]) -> int:
    """The number of rows that a statement changed. Raises Django's errors.

    psycopg has the server put in the values; Django puts them into the text, which takes about as long as all the rest. It does so
    here, too, where somebody looks at statements, such as ``assertNumQueries``.
    """
    connection: Any = connections[alias]
    looked_at = connection.execute_wrappers or connection.queries_logged
    if Cursor is not None and connection.vendor == "postgresql" and not looked_at:
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        if isinstance(raw := connection.connection, Connection):
            connection.validate_no_broken_transaction()
            cursor = _last.cursor
            if cursor is None or cursor.connection is not raw or cursor.closed:
                cursor = _last.cursor = Cursor(raw)
            with connection.wrap_database_errors:
                return int(cursor.execute(sql, values).rowcount)
    with connection.cursor() as one:
        one.execute(sql, values)
        return int(one.rowcount)
