"""Statements that run once for each event: prepared, and given to libpq as they are.

psycopg's own way, a cursor that adapts values and waits step by step, takes four times as long as libpq, and to plan such a statement
takes the server longer than to change the row. Where anything is not as it usually is, they go through `statements.execute`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db import Error, connections

from via_state.bookkeeping.database.statements import execute
from via_state.core import sqlstates

try:
    from psycopg import Connection, OperationalError
    from psycopg.errors import error_from_result
    from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
except ImportError:  # another database, or an older psycopg
    Connection = None  # type: ignore[assignment, misc]

logger = logging.getLogger("via_state")

#: The type of a parameter: bigint for numbers; of texts the server knows from where they stand.
_BIGINT, _UNKNOWN = 20, 0
#: How values are sent. Texts in binary form, which has a length: a NUL in one is refused, and does not end it.
_TEXT, _BINARY = 0, 1
#: What was prepared on a connection.
_prepared: WeakKeyDictionary[Any, set[bytes]] = WeakKeyDictionary()
#: Databases that turned out to forget it.
_forgetful: set[str] = set()


def execute_prepared(alias: str, sql: str, values: Sequence[str | int] | Mapping[str, str | int]) -> int:
    """`statements.execute`, for a statement whose values are always of the same types."""
    raw = _raw(alias)
    if raw is None:
        return execute(alias, sql, values)
    connection: Any = connections[alias]
    try:
        with connection.wrap_database_errors, raw.lock:
            return _execute(raw, _read(sql), values)
    except Error as error:
        if not _forgot(alias, error) or connection.in_atomic_block:
            raise
    return execute(alias, sql, values)  # it was not executed


def _raw(alias: str) -> Any:
    """The connection of psycopg, where statements of ours may be prepared on it."""
    connection: Any = connections[alias]
    settings = connection.settings_dict
    if (
        Connection is None
        or connection.vendor != "postgresql"
        or connection.execute_wrappers
        or connection.queries_logged
        # As `backplanes.postgres.connections` has it: a pooler in between, by Django's name for that, or what the project says.
        or settings.get("DISABLE_SERVER_SIDE_CURSORS")
        or "prepare_threshold" in settings["OPTIONS"]
        or alias in _forgetful
    ):
        return None
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    raw = connection.connection
    if not isinstance(raw, Connection) or raw.pgconn.parameter_status(b"client_encoding") != b"UTF8":
        return None
    connection.validate_no_broken_transaction()
    # psycopg begins a transaction together with its first statement.
    began = raw.autocommit or raw.pgconn.transaction_status == TransactionStatus.INTRANS
    return raw if began else None


class _Read(NamedTuple):
    """A statement as libpq takes it. ``name`` is of the text: whoever prepared it in the session, it is the same one. ``order``: the names
    of the values; empty where they have none.
    """

    name: bytes
    text: bytes
    order: tuple[str, ...]


@functools.cache
def _read(sql: str) -> _Read:
    order: dict[str, int] = {}
    numbers = itertools.count(1)

    def number(found: re.Match[str]) -> str:
        name = found[1]
        return f"${next(numbers) if name is None else order.setdefault(name, len(order) + 1)}"

    text = re.sub(r"%(?:\((\w+)\))?s", number, sql).encode()
    return _Read(b"via_state_" + hashlib.blake2b(text, digest_size=16).hexdigest().encode(), text, tuple(order))


def _execute(raw: Any, read: _Read, values: Sequence[str | int] | Mapping[str, str | int]) -> int:
    pgconn, known = raw.pgconn, _prepared.setdefault(raw, set())
    given = [values[name] for name in read.order] if isinstance(values, Mapping) else values
    if read.name not in known:
        types = [_UNKNOWN if isinstance(value, str) else _BIGINT for value in given]
        _check(pgconn, pgconn.prepare(read.name, read.text, types))
        known.add(read.name)
    formats = [_BINARY if isinstance(value, str) else _TEXT for value in given]
    result = pgconn.exec_prepared(read.name, [str(value).encode() for value in given], formats)
    _check(pgconn, result)
    return int(result.command_tuples or 0)


def _check(pgconn: Any, result: Any) -> None:
    """Raises psycopg's errors."""
    if result.status == ExecStatus.COMMAND_OK:
        return
    if pgconn.status == ConnStatus.BAD and result.error_field(DiagnosticField.SQLSTATE) is None:
        raise OperationalError(pgconn.get_error_message())
    raise error_from_result(result, encoding="utf-8")


def _forgot(alias: str, error: Error) -> bool:
    """Whether a statement was not executed because the session is not the one that it was prepared in, or is another client's, too."""
    if not sqlstates.pooled(getattr(error.__cause__, "sqlstate", None) or ""):
        return False
    if alias not in _forgetful:
        _forgetful.add(alias)
        logger.warning(
            "Database %r forgets prepared statements; event handlers do without them from now on. Behind a "
            "transaction-pooling proxy, set DISABLE_SERVER_SIDE_CURSORS in DATABASES, as Django's manual says.",
            alias,
        )
    return True
