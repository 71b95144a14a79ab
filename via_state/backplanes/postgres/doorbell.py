"""Doorbells by NOTIFY: rung after the commit, coalesced, on a connection of their own; heard on another one.

NOTIFY inside the append's transaction would serialise all commits of the database, so it never is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Callable, Coroutine

import psycopg

from via_state.backplanes.base import Ring, Watch
from via_state.backplanes.postgres.connections import Connection
from via_state.core.retry import full_jitter
from via_state.exceptions import BackplaneUnavailable

logger = logging.getLogger("via_state.postgres")

Connect = Callable[[], Coroutine[None, None, Connection]]

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
    """Rings for keys that this process changed. Rings that can't be delivered are dropped: sweeps make up for them."""

    def __init__(self, connect: Connect, prefix: str) -> None:
        self._connect, self._channel = connect, channel(prefix)
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
                keys, self._keys = self._keys, set()
                payload = json.dumps(sorted(keys), ensure_ascii=False, separators=(",", ":"))
                if len(payload.encode()) > MAX_PAYLOAD:
                    payload = ""
                if self._connection is None:
                    self._connection = await self._connect()
                await self._connection.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))
                await asyncio.sleep(INTERVAL)
        except (BackplaneUnavailable, psycopg.Error) as error:
            logger.info("A doorbell was not rung: %s", error)
            await self._hang_up()
        finally:
            self._task = None

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._hang_up()


class Ear:
    """Listens for all watches of a process on one connection, which it makes again for ever."""

    def __init__(self, connect: Connect, prefix: str) -> None:
        self._connect, self._channel = connect, channel(prefix)
        self._watches: set[_PostgresWatch] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, ring: Ring) -> Watch:
        watch = _PostgresWatch(self._watches, ring)
        self._watches.add(watch)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen())
        return watch

    async def _listen(self) -> None:
        attempt = 0
        while True:
            connection: Connection | None = None
            try:
                connection = await self._connect()
                await connection.execute(f"LISTEN {self._channel}")
                attempt = 0
                self._rang(None)  # while nobody listened, anything may have changed
                while True:
                    async for notification in connection.notifies(timeout=SILENCE):
                        self._hear(notification.payload)
                    await connection.execute("SELECT 1")
            except (BackplaneUnavailable, psycopg.Error) as error:
                attempt += 1
                logger.info("Doorbells are not heard, sweeps go on: %s", error)
            finally:
                if connection is not None:
                    await connection.close()
            await asyncio.sleep(full_jitter(attempt, 0.05, 1.0, random.SystemRandom().random))

    def _hear(self, payload: str) -> None:
        try:
            keys = json.loads(payload) if payload else [None]
        except ValueError:
            keys = [None]  # somebody else's words on our channel
        for key in keys:
            self._rang(key)

    def _rang(self, key: str | None) -> None:
        for watch in tuple(self._watches):
            watch.rang(key)

    async def close(self) -> None:
        self._watches.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


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
