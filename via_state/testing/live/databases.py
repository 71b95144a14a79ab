"""SQLite databases in memory, which the test shares with the threads that serve its tabs."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created


def let_threads_read() -> None:
    """From now on no thread that reads an SQLite database in memory keeps another one from writing, or the other way round.

    Each thread has a connection of its own to it, and a write locks a whole table. What locks does not wait, as for a file: one of both
    fails with "database table is locked". Tests that write a user while a tab's block reads it would fail by chance, and in a ``TestCase``,
    whose transaction never ends, always.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite":
            connection_created.connect(_read_uncommitted, type(connection), dispatch_uid=__name__)
            if connection.connection is not None:
                _read_uncommitted(connection)


def _read_uncommitted(connection: Any, **_: object) -> None:
    if connection.is_in_memory_db():
        connection.connection.execute("PRAGMA read_uncommitted = 1")  # Django's cursor refuses in event loops
