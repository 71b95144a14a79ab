"""Doorbells by NOTIFY: rung after the commit, coalesced, on a connection of their own; heard on another one.

NOTIFY inside the append's transaction would serialise all commits of the database, so it never is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine

import msgspec
import psycopg

from via_state.backplanes.base import Ring, Watch
from via_state.backplanes.postgres.connection import Connection, deadline, ended, hang_up
from via_state.core.retry import full_jitter
from via_state.exceptions import BackplaneUnavailable
from via_state.runtime.rng import rng

logger = logging.getLogger("via_state.postgres")

Open = Callable[[], Coroutine[None, None, Connection]]

#: Seconds between two NOTIFYs of a process: what happens meanwhile rings together.
INTERVAL = 0.002
#: Bytes that PostgreSQL takes; longer ones ring as "anything may have changed".
MAX_PAYLOAD = 7999
#: Seconds without a doorbell after which the listening connection is asked whether it lives.
SILENCE = 15.0


def channel(prefix: str) -> str:
    """The NOTIFY channel of all pods with this prefix."""
    return "via_state_" + hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()


class Bell:
    """Rings for keys that this process changed. Rings that can't be delivered are dropped: sweeps make up for them.

    ``timeout``: seconds for one NOTIFY.
    """

    def __init__(self, open_connection: Open, prefix: str, timeout: float) -> None:
        self._open, self._channel, self._timeout = open_connection, channel(prefix), timeout
        self._connection: Connection | None = None
        self._keys: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def ring(self, key: str) -> None:
        """Soon, and together with what is rung meanwhile."""
        self._keys.add(key)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._keys:
                await self._notify()
                await asyncio.sleep(INTERVAL)
        except (BackplaneUnavailable, psycopg.Error) as error:
            logger.info("A doorbell was not rung: %s", error)
            await self._drop_connection()
        finally:
            self._task = None

    async def _notify(self) -> None:
        keys, self._keys = self._keys, set()
        payload = json.dumps(sorted(keys), ensure_ascii=False, separators=(",", ":"))
        if len(payload.encode()) > MAX_PAYLOAD:
            payload = ""
        if self._connection is not None and ended(self._connection):
            await self._drop_connection()
        if self._connection is None:
            self._connection = await self._open()
        with deadline(self._connection, self._timeout):
            await self._connection.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        if self._task is not None:
            await _end(self._task, self._connection)
        await self._drop_connection()


class Ear:
    """Listens for all watches of a process on one connection, which it makes again for ever.

    ``timeout``: seconds for an answer when the connection is asked whether it lives.
    """

    def __init__(self, open_connection: Open, prefix: str, timeout: float) -> None:
        self._open, self._channel, self._timeout = open_connection, channel(prefix), timeout
        self._watches: set[_PostgresWatch] = set()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, ring: Ring) -> Watch:
        watch = _PostgresWatch(self._watches, ring)
        self._watches.add(watch)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen_for_ever())
        return watch

    async def _listen_for_ever(self) -> None:
        attempt = 0
        while not self._closed:
            try:
                self._connection = await self._open()
                with deadline(self._connection, self._timeout):
                    await self._connection.execute(f"LISTEN {self._channel}")
                attempt = 0
                self._rang(None)  # while nobody listened, anything may have changed
                await self._listen(self._connection)
            except (BackplaneUnavailable, psycopg.Error) as error:
                logger.info("Doorbells are not heard, sweeps go on: %s", error)
            except Exception:
                logger.exception("Hearing doorbells failed; it goes on.")
            finally:
                if self._connection is not None:
                    await self._connection.close()
                    self._connection = None
            attempt += 1
            if not self._closed:
                await asyncio.sleep(full_jitter(attempt, 0.05, 1.0, rng.random))

    async def _listen(self, connection: Connection) -> None:
        while True:
            async for notification in connection.notifies(timeout=SILENCE):
                self._hear(notification.payload)
            with deadline(connection, self._timeout):
                await connection.execute("SELECT 1")

    def _hear(self, payload: str) -> None:
        try:
            keys: list[str | None] = [*msgspec.json.decode(payload, type=list[str])]
        except msgspec.DecodeError:  # too many keys for one NOTIFY, or somebody else's words on our channel
            keys = [None]
        for key in keys:
            self._rang(key)

    def _rang(self, key: str | None) -> None:
        for watch in tuple(self._watches):
            watch.rang(key)

    async def close(self) -> None:
        self._closed = True
        self._watches.clear()
        if self._task is not None:
            await _end(self._task, self._connection)


async def _end(task: asyncio.Task[None], connection: Connection | None) -> None:
    """End a task that may wait for its connection: psycopg answers a cancellation by asking the server, which may be silent."""
    if connection is not None:
        hang_up(connection)
        await asyncio.wait({task}, timeout=1.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _PostgresWatch(Watch):
    def __init__(self, watches: set[_PostgresWatch], ring: Ring) -> None:
        self._watches, self._ring = watches, ring
        self._keys: set[str] = set()

    def add(self, key: str) -> None:
        self._keys.add(key)

    def discard(self, key: str) -> None:
        self._keys.discard(key)

    def rang(self, key: str | None) -> None:
        if key is None or key in self._keys:
            self._ring(key)

    async def close(self) -> None:
        self._watches.discard(self)
