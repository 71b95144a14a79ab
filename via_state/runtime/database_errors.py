"""What an error means for trying again: that of the backplane, or of Django's database layer on any vendor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, connections
from django.db import Error as DatabaseFailure

from via_state.conf import settings
from via_state.core import sqlstates
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.runtime.servers import database, did_not_answer

logger = logging.getLogger("via_state.runtime")

#: Tables and columns that are missing: SQLSTATEs, numbers of MySQL, and how SQLite's messages begin.
_MISSING = ("42P01", "42703")
_MYSQL_MISSING = (1054, 1146)
_SQLITE_MISSING = ("no such table", "no such column", "table via_state")
#: MySQL numbers the errors of its client library, such as a lost connection, from 2000 on.
_MYSQL_CLIENT = range(2000, 3000)
#: A lock that was not had in time, and a deadlock.
_MYSQL_CONTENDED = (1205, 1213)
#: A server that takes no writes.
_MYSQL_ELSEWHERE = (1290, 1836)
_SQLITE_CONTENDED = ("SQLITE_BUSY", "SQLITE_LOCKED")


def answered(error: BaseException) -> bool:
    """Whether the database answered, and said no: the statement, or the commit, was undone.

    Otherwise, also where that can't be told, the connection broke, and the outcome is unknown.
    """
    if isinstance(error, IntegrityError | DataError):
        return True
    cause: Any = error.__cause__
    if (state := _sqlstate(cause)) is not None:
        severity = getattr(getattr(cause, "diag", None), "severity_nonlocalized", None)
        return severity not in ("FATAL", "PANIC") and not sqlstates.unknown(state)
    module = type(cause).__module__.partition(".")[0]
    if module == "sqlite3":
        return True
    if module in ("MySQLdb", "pymysql") and cause.args and isinstance(cause.args[0], int):
        return cause.args[0] not in _MYSQL_CLIENT
    return False


def lasting(error: BaseException) -> bool:
    """Whether the database will say no again, however long one waits: a missing table, a missing right."""
    state = _sqlstate(error.__cause__)
    return missing(error) or (state is not None and sqlstates.lasting(state))


def missing(error: BaseException) -> bool:
    """Whether the database lacks a table or a column: nobody ran ``migrate``."""
    cause: Any = error.__cause__
    if (state := _sqlstate(cause)) is not None:
        return state in _MISSING
    module = type(cause).__module__.partition(".")[0]
    if module == "sqlite3":
        return str(cause).startswith(_SQLITE_MISSING)
    return module in ("MySQLdb", "pymysql") and bool(cause.args) and cause.args[0] in _MYSQL_MISSING


def contended(error: BaseException) -> bool:
    """Whether it is, or comes from, a transaction that the database undid because of others: a deadlock, a serialization failure."""
    return any(_contended(one) for one in _chain(error))


def _contended(error: Any) -> bool:
    if (state := _sqlstate(error)) is not None:
        return sqlstates.contended(state)
    module = type(error).__module__.partition(".")[0]
    if module == "sqlite3":
        return str(getattr(error, "sqlite_errorname", "")).startswith(_SQLITE_CONTENDED)
    return module in ("MySQLdb", "pymysql") and bool(error.args) and error.args[0] in _MYSQL_CONTENDED


def elsewhere(error: BaseException) -> bool:
    """Whether it is, or comes from, a write on a server that takes none: a primary that became a standby."""
    return any(_elsewhere(one) for one in _chain(error))


def _elsewhere(error: Any) -> bool:
    if (state := _sqlstate(error)) is not None:
        return sqlstates.elsewhere(state)
    module = type(error).__module__.partition(".")[0]
    return module in ("MySQLdb", "pymysql") and bool(error.args) and error.args[0] in _MYSQL_ELSEWHERE


def look_elsewhere(error: BaseException) -> None:
    """Where ``error`` says that a server takes no writes, close this thread's connections: new ones may find the one that does.

    Django keeps them, and so does its pool: they answer a health check. What else is in the pool leads to the same server, and goes with
    them (psycopg_pool 3.3; an older one loses one connection with each error).
    """
    if not elsewhere(error):
        return
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        try:
            drain = getattr(getattr(connection.connection, "_pool", None), "drain", None)
            if connection.connection is not None:
                connection.connection.close()  # a pool keeps one that is open
            connection.close()
            if drain is not None:
                drain()
        except Exception as problem:
            logger.debug("A connection of %r could not be closed: %s", connection.alias, problem)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or after, as a traceback shows them."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def sentence(error: BaseException, alias: str) -> str:
    """An error of the database ``alias``, for an operator: what is wrong, and what to do."""
    text = " ".join(str(error).split())
    if missing(error):
        return f"The database {alias!r} lacks a table or a column of via_state. Run: manage.py migrate --database {alias} ({text})"
    if answered(error):
        return f"The database {alias!r} refused: {text}"
    return f"The database {alias!r} can't be reached: {text}"


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Makes an error of the database ``DATABASE`` one of ours. ``what`` is asked there: "positions of event handlers".

    Raises `BackplaneUnavailable` for a database that does not answer, whatever its driver calls that, `BackplaneRefused` for one that
    says no for good.
    """
    alias = settings.DATABASE
    try:
        yield
    except DatabaseFailure as error:
        text = str(error).strip()
        if lasting(error):
            raise BackplaneRefused(
                f"The database {alias!r} refuses work on the {what}. If a table or a column is missing, run: manage.py "
                f"migrate --database {alias} ({text})"
            ) from error
        unavailable = BackplaneUnavailable(f"The {what} in the database {alias!r} can't be reached: {text}")
        raise unavailable if answered(error) else did_not_answer(unavailable, database(alias)) from error


def refused(error: BaseException) -> bool:
    """Whether a server said no for good: the backplane's, or the project's database."""
    return isinstance(error, BackplaneRefused) or (isinstance(error, DatabaseError) and lasting(error))


def _sqlstate(cause: Any) -> str | None:
    """psycopg 3 and 2 name it differently."""
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state if isinstance(state, str) else None
