"""What an error of psycopg means to the caller."""

from __future__ import annotations

import psycopg
from psycopg import errors

from via_state.core import sqlstates
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, NotMigrated, OutcomeUnknown, ViaStateError
from via_state.runtime.servers import database, did_not_answer

#: Tables that are missing, or of another version of this package.
_NOT_MIGRATED = (errors.UndefinedTable, errors.UndefinedColumn, errors.DatatypeMismatch)
#: Two rows where a constraint allows one; an ON CONFLICT for whose columns there is no constraint.
_TWICE = (errors.CardinalityViolation, errors.InvalidColumnReference)
#: What psycopg raises for values and statements that it does not take.
_UNSENT = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)


def refused(error: psycopg.Error) -> bool:
    """Whether the server answered, and said no: the statement was undone. Otherwise the connection broke."""
    state = error.sqlstate
    if state is None:
        return False
    ends_session = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
    return not ends_session and not sqlstates.unknown(state)


def unsent(error: psycopg.Error) -> bool:
    """Whether psycopg itself would not send it."""
    return error.sqlstate is None and isinstance(error, _UNSENT)


def pooled(error: psycopg.Error) -> bool:
    """Whether it shows that a transaction-pooling proxy is in between, so that statements can't stay prepared."""
    return sqlstates.pooled(error.sqlstate or "")


def elsewhere(error: psycopg.Error) -> bool:
    """Whether the server is a standby: another connection may find the primary."""
    return sqlstates.elsewhere(error.sqlstate or "")


def translated(error: psycopg.Error, alias: str, write: bool) -> ViaStateError:
    """The error of ours. ``write``: a connection that breaks leaves the outcome unknown."""
    if isinstance(error, _NOT_MIGRATED):
        return NotMigrated(
            "The tables of the PostgreSQL backplane are missing, or of another version. Add "
            f"'via_state.backplanes.postgres' to INSTALLED_APPS and run: manage.py migrate --database {alias} "
            f"({str(error).strip()})"
        )
    if isinstance(error, _TWICE):
        return BackplaneUnavailable(
            f"A unique constraint of the PostgreSQL backplane's tables (database {alias!r}) is missing, and a log may be "
            "there twice, as after a restore that was not one transaction: nothing is written. manage.py check --database "
            f"{alias} names it. Restore the tables whole. ({str(error).strip()})"
        )
    if refused(error):
        kind = BackplaneRefused if sqlstates.lasting(error.sqlstate or "") else BackplaneUnavailable
        return kind(f"PostgreSQL (database {alias!r}) refused: {str(error).strip()}")
    if unsent(error):
        return BackplaneRefused(f"It can't be sent to PostgreSQL (database {alias!r}): {str(error).strip()}")
    text = f"The connection to PostgreSQL (database {alias!r}) broke: {str(error).strip() or 'no answer in time'}"
    return did_not_answer(OutcomeUnknown(text) if write else BackplaneUnavailable(text), database(alias))
