"""A few connections, made on demand and dropped when they break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from django.db import connections
from psycopg.pq import TransactionStatus

from via_state.backplanes.postgres import failures
from via_state.backplanes.postgres.connection import (
    IDLE,
    Connection,
    deadline,
    ended,
    give_back,
    hang_up,
    open_connection,
)
from via_state.backplanes.postgres.slots import Slots
from via_state.backplanes.strangers import Strangers
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.runtime.patience import seconds_to_send

logger = logging.getLogger("via_state.postgres")

#: Executions of a statement after which the server keeps its plan.
PREPARE_THRESHOLD = 3
#: Part of the time for a verb that the server gets for a statement, so that it says no before we hang up on it.
SERVER_SHARE = 0.8


class Connections:
    """At most ``size`` at once. A broken one is dropped, and the idle ones with it: they broke together.

    Not psycopg's own pool: after an outage it reconnects by a backoff of its own, and it hands out what died meanwhile.
    """

    def __init__(self, alias: str, size: int, connect_timeout: float, timeout: float) -> None:
        self._alias, self._connect_timeout, self._timeout = alias, connect_timeout, timeout
        #: What lies in the tables and is not ours.
        self.strangers = Strangers("PostgreSQL")
        self._idle: list[tuple[float, Connection]] = []  # each with the time since when
        self._reaper: asyncio.TimerHandle | None = None
        self._slots = Slots(size)
        self._used: set[Connection] = set()
        self._opening: set[asyncio.Task[Connection]] = set()
        self._prepares = True
        self._closed = False

    @asynccontextmanager
    async def use(self, *, write: bool, seconds: float | None = None) -> AsyncIterator[Connection]:
        """A connection for one verb; what goes wrong inside becomes one of our errors.

        ``write``: a connection that breaks leaves the outcome unknown. ``seconds``: time for all that is done with it.
        """
        self._check_open()
        async with self._slot(write):
            connection = await self._living() or await self._connect()
            self._used.add(connection)
            try:
                with deadline(connection, self._timeout if seconds is None else seconds):
                    yield connection
            except psycopg.Error as error:
                await self._examine(connection, error)
                raise self._translated(error, write) from error
            finally:
                self._used.discard(connection)
                await self._put_back(connection)

    @asynccontextmanager
    async def _slot(self, write: bool) -> AsyncIterator[None]:
        seconds = seconds_to_send(self._timeout)
        try:
            await self._slots.take(write=write, seconds=seconds)
        except TimeoutError:
            raise BackplaneUnavailable(
                f"None of the {self._slots.size} connections to PostgreSQL (database {self._alias!r}) became free within "
                f"{seconds:.1f} s. Nothing was sent. If this lasts, look for what is slow there, or raise POOL_SIZE."
            ) from None
        try:
            self._check_open()
            yield
        finally:
            self._slots.give()

    async def _living(self) -> Connection | None:
        """An idle connection that did not end while it lay idle: what is never sent has no unknown outcome."""
        while self._idle:
            _, connection = self._idle.pop()
            if not ended(connection):
                return connection
            await connection.close()
        return None

    async def _connect(self) -> Connection:
        left = seconds_to_send()
        try:
            async with asyncio.timeout(left if left < math.inf else None):
                connection = await self._opened()
        except TimeoutError:
            raise BackplaneUnavailable(
                f"PostgreSQL (database {self._alias!r}) was not connected to within {left:.1f} s. Nothing was sent."
            ) from None
        self._used.add(connection)
        try:
            # A pooler lets clients in before it has a server for them: what is never answered here was not a write.
            with deadline(connection, seconds_to_send(self._connect_timeout)):
                await connection.execute("SELECT 1")
            self._check_open()
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise self._translated(error, write=False) from error
            raise
        finally:
            self._used.discard(connection)
        settings = connections[self._alias].settings_dict
        threshold = None if self._behind_pooler else PREPARE_THRESHOLD
        connection.prepare_threshold = (
            settings["OPTIONS"].get("prepare_threshold", threshold) if self._prepares else None
        )
        return connection

    @property
    def _behind_pooler(self) -> bool:
        """By Django's name for that: what one client sets or prepares there, others get."""
        return bool(connections[self._alias].settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))

    def _settings(self) -> dict[str, str]:
        if self._behind_pooler:
            return {}
        milliseconds = int(self._timeout * SERVER_SHARE * 1000) or 1
        return {"statement_timeout": str(milliseconds), "default_transaction_isolation": r"read\ committed"}

    async def _opened(self) -> Connection:
        """A new connection. In a task of its own, which `close` can end while it is left in peace by us."""
        opening = asyncio.create_task(open_connection(self._alias, self._connect_timeout, self._settings()))
        self._opening.add(opening)
        caller = asyncio.current_task()
        try:
            return await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
            if self._closed and caller is not None and not caller.cancelling():
                self._check_open()
            raise
        finally:
            self._opening.discard(opening)

    async def _examine(self, connection: Connection, error: psycopg.Error) -> None:
        """Drop the connections that will not serve the next verb either."""
        if failures.pooled(error) and self._prepares:
            self._prepares = False
            logger.warning(
                "Database %r forgets prepared statements; via_state does without them from now on. Behind a "
                "transaction-pooling proxy, set DISABLE_SERVER_SIDE_CURSORS in DATABASES, as Django's manual says.",
                self._alias,
            )
        elif failures.unsent(error) or (failures.refused(error) and not failures.elsewhere(error)):
            return
        await connection.close()
        await self._drop_idle()

    def _translated(self, error: psycopg.Error, write: bool) -> Exception:
        if self._closed:
            return Closed("The PostgreSQL backplane was closed during this call.")
        return failures.translated(error, self._alias, write)

    async def _put_back(self, connection: Connection) -> None:
        if connection.closed or self._closed or connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append((time.monotonic(), connection))
            if self._reaper is None:
                self._reap_later(IDLE)

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await connection.close()

    def _reap_later(self, seconds: float) -> None:
        self._reaper = asyncio.get_running_loop().call_later(seconds, self._reap)

    def _reap(self) -> None:
        """Give back those that were not used for a while, the first ones in the list."""
        self._reaper = None
        before = time.monotonic() - IDLE
        while self._idle and self._idle[0][0] <= before:
            give_back(self._idle.pop(0)[1])
        if self._idle:
            self._reap_later(max(self._idle[0][0] - before, 0.01))

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This PostgreSQL backplane was closed.")

    async def close(self) -> None:
        """Close all of them, those in use too, and see their users off."""
        if self._closed:
            return
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        self._slots.end(lambda: Closed("This PostgreSQL backplane was closed."))
        await self._drop_idle()
        for opening in self._opening:
            opening.cancel()
        for connection in self._used:
            hang_up(connection)
        # Not for ever: somebody may have cancelled a call, and psycopg still tells a silent server so.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                for _ in range(self._slots.size):
                    await self._slots.take(write=True)
