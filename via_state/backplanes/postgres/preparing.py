"""Connections that the project prepares when they are made: receivers of ``connection_created`` set a search path, a role, a
setting of row-level security. They know Django's connections only: so Django makes such a connection, and it becomes ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import psycopg
from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.pq.abc import PGconn

from via_state.core.project_code import contained


def is_prepared(alias: str) -> bool:
    """Whether anybody does anything to the connections of ``alias`` when they are made."""
    return connection_created.has_listeners(type(connections[alias]))


async def prepared_connection(alias: str, options: Mapping[str, Any]) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection that Django and the project made, in autocommit mode. ``options`` are added to those of the settings.

    Raises what they raise. Whoever stops waiting leaves nothing open.
    """
    future: Future[PGconn] = Future()
    future.set_running_or_notify_cancel()

    def make() -> None:
        try:
            future.set_result(_make(alias, options))
        except BaseException as error:
            future.set_exception(contained(error, "A receiver of connection_created"))

    # A thread of its own, which nobody waits for when the process ends.
    threading.Thread(target=make, name="via-state-connection", daemon=True).start()
    connection = psycopg.AsyncConnection(await asyncio.wrap_future(future))
    connection.prepare_threshold = None
    await connection.set_autocommit(True)
    return connection


def _make(alias: str, options: Mapping[str, Any]) -> PGconn:
    like = connections[alias]
    given = like.settings_dict
    ours = {**given["OPTIONS"], **options, "prepare_threshold": None}
    ours.pop("pool", None)  # its connections are Django's
    wrapper = type(like)({**given, "OPTIONS": ours}, alias)
    try:
        wrapper.connect()
        wrapper.connection.commit()  # where AUTOCOMMIT is off
    except BaseException:
        if wrapper.connection is not None:
            wrapper.connection.close()
        raise
    pgconn: PGconn = wrapper.connection.pgconn
    del wrapper.connection.pgconn  # its end is no longer that connection's business
    return pgconn
