"""A few connections of our own to the project's database, made on demand and dropped when they break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from django.db import connections
from psycopg import errors
from psycopg.pq import ConnStatus, TransactionStatus

from via_state.exceptions import BackplaneUnavailable, Closed, NotMigrated, OutcomeUnknown

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

#: What Django adds to its parameters and libpq does not know.
_NOT_LIBPQ = ("cursor_factory", "context", "prepare_threshold")
#: A peer that vanished is noticed within seconds, not hours.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}

_IDENTITY = """
SELECT system_identifier::text || ':' || timeline_id
FROM pg_control_system(), pg_control_checkpoint()
"""


async def connect(alias: str, connect_timeout: float, statement_timeout: float) -> Connection:
    """A connection in autocommit mode, with the parameters that Django uses for ``alias`` at this moment."""
    parameters = {**_KEEPALIVE, **connections[alias].get_connection_params()}
    prepare_threshold = parameters.get("prepare_threshold")
    for name in _NOT_LIBPQ:
        parameters.pop(name, None)
    connection: Connection | None = None
    try:
        async with asyncio.timeout(connect_timeout):
            connection = await psycopg.AsyncConnection.connect(
                **parameters, autocommit=True, prepare_threshold=prepare_threshold or 3
            )
            milliseconds = str(int(statement_timeout * 1000))
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false), "
                "set_config('application_name', 'via_state', false)",
                (milliseconds, milliseconds),
            )
            return connection
    except BaseException as error:
        if connection is not None:
            await connection.close()
        if not isinstance(error, psycopg.OperationalError | TimeoutError | OSError):
            raise
        reason = str(error).strip() or f"no answer within {connect_timeout:g} s"
        raise BackplaneUnavailable(f"PostgreSQL (database {alias!r}) can't be reached: {reason}") from error


class Connections:
    """At most ``size`` at once. A broken one is dropped, and the idle ones with it: they broke together."""

    def __init__(self, alias: str, size: int, connect_timeout: float, timeout: float) -> None:
        self._alias, self._connect_timeout, self._timeout = alias, connect_timeout, timeout
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(size)
        self._used: set[Connection] = set()
        self._closed = False
        self.identity = ""

    @asynccontextmanager
    async def use(self, *, write: bool) -> AsyncIterator[Connection]:
        """A connection for one verb; what goes wrong inside becomes one of our errors.

        ``write``: a connection that breaks leaves the outcome unknown.
        """
        self._check_open()
        async with self._slots:
            self._check_open()
            connection = await self._living() or await self._connect()
            self._used.add(connection)
            # Not asyncio.timeout: psycopg answers a cancellation by asking the server to cancel, which takes seconds
            # when the network is what went quiet.
            timer = asyncio.get_running_loop().call_later(self._timeout, _hang_up, connection)
            try:
                yield connection
            except psycopg.Error as error:
                raise await self._translate(connection, error, write) from error
            finally:
                timer.cancel()
                self._used.discard(connection)
                await self._put_back(connection)

    async def _living(self) -> Connection | None:
        """An idle connection that did not end while it lay idle: what is never sent has no unknown outcome."""
        while self._idle:
            connection = self._idle.pop()
            if not _ended(connection):
                return connection
            await connection.close()
        return None

    async def _connect(self) -> Connection:
        connection = await connect(self._alias, self._connect_timeout, self._timeout)
        try:
            row = await (await connection.execute(_IDENTITY)).fetchone()
            self.identity = row[0] if row else ""
        except errors.InsufficientPrivilege:
            self.identity = "unknown"
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.OperationalError):
                raise BackplaneUnavailable(f"PostgreSQL went away: {error}") from error
            raise
        return connection

    async def _put_back(self, connection: Connection) -> None:
        if connection.closed or self._closed or connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append(connection)

    async def _translate(self, connection: Connection, error: psycopg.Error, write: bool) -> Exception:
        """What an error of psycopg means to the caller."""
        if self._closed:
            return Closed("The backplane was closed during this call.")
        if isinstance(error, errors.UndefinedTable):
            return NotMigrated(
                "The tables of the PostgreSQL backplane are missing. Add 'via_state.backplanes.postgres' to "
                f"INSTALLED_APPS and run: manage.py migrate --database {self._alias}"
            )
        state = error.sqlstate
        if state is not None and not state.startswith("57P"):  # 57P..: the server ends the session
            if isinstance(error, errors.ReadOnlySqlTransaction):
                await connection.close()  # a standby: the next connection may find the primary
            elif not isinstance(error, psycopg.OperationalError):
                return error  # our SQL, or the data we gave it, is wrong: nothing that could be tried again
            # The server said no, so the statement was undone: a lock, a deadlock, a time-out.
            return BackplaneUnavailable(f"PostgreSQL refused for now: {error}")
        await connection.close()
        await self._drop_idle()
        text = f"The connection to PostgreSQL broke: {str(error).strip() or 'no answer in time'}"
        return OutcomeUnknown(text) if write else BackplaneUnavailable(text)

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This PostgreSQL backplane was closed.")

    async def close(self) -> None:
        """Close all of them, those in use too."""
        self._closed = True
        await self._drop_idle()
        for connection in self._used:
            _hang_up(connection)


def _ended(connection: Connection) -> bool:
    """Whether the server's end is gone, as far as this machine knows. An idle connection has nothing to read."""
    if connection.closed:
        return True
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    if not readable:
        return False
    try:
        connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return connection.pgconn.status != ConnStatus.OK


def _hang_up(connection: Connection) -> None:
    """End a connection that is in use: whoever waits for it gets an error now."""
    if not connection.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
