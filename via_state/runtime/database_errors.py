"""What an error means for trying again: that of the backplane, or of Django's database layer on any vendor."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, DataError, IntegrityError

from via_state.core import sqlstates
from via_state.exceptions import BackplaneRefused

#: MySQL numbers the errors of its client library, such as a lost connection, from 2000 on.
_MYSQL_CLIENT = range(2000, 3000)


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
    return state is not None and sqlstates.lasting(state)


def refused(error: BaseException) -> bool:
    """Whether a server said no for good: the backplane's, or the project's database."""
    return isinstance(error, BackplaneRefused) or (isinstance(error, DatabaseError) and lasting(error))


def _sqlstate(cause: Any) -> str | None:
    """psycopg 3 and 2 name it differently."""
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state if isinstance(state, str) else None
