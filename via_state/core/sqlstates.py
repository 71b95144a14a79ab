"""What the code of an SQL error (SQLSTATE) says about trying again."""

from __future__ import annotations

#: Errors that leave open what became of the statement. Poolers report with them that they lost the server.
_UNKNOWN = ("08", "40003")
#: Errors that stay until somebody changes something: no such database (3D) or schema (3F), a login that is refused (28), a
#: statement that the server does not know or allow (42: tables, columns, functions, privileges), data that it does not
#: take (22). Not those that a race explains (23, 40), nor 0A, which is also a plan that a migration made stale.
_LASTING = ("22", "28", "3D", "3F", "42")
#: A prepared statement that the session has already, or has not: it is another client's, or was. Nothing was executed.
_POOLED = ("42P05", "26000")
#: A transaction that was undone for the sake of others: a serialization failure, a deadlock.
_CONTENDED = ("40001", "40P01")
#: A write on a server that takes none: a standby, or a primary that became one.
_ELSEWHERE = ("25006",)


def unknown(sqlstate: str) -> bool:
    """Whether the outcome of the statement is unknown."""
    return sqlstate.startswith(_UNKNOWN)


def lasting(sqlstate: str) -> bool:
    """Whether the same statement will be refused again, however long one waits."""
    return sqlstate.startswith(_LASTING) and sqlstate not in _POOLED


def pooled(sqlstate: str) -> bool:
    """Whether it shows that a transaction-pooling proxy is in between, so that statements can't stay prepared."""
    return sqlstate in _POOLED


def contended(sqlstate: str) -> bool:
    """Whether the transaction was undone because of others that ran at the same time: the same one may succeed now."""
    return sqlstate in _CONTENDED


def elsewhere(sqlstate: str) -> bool:
    """Whether the server takes no writes: another connection may find the one that does."""
    return sqlstate in _ELSEWHERE
