"""The connection of a process, made again whenever it is needed and gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from via_state.backplanes.nats.addresses import Address
from via_state.backplanes.nats.connection import Connection
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.runtime.kept_errors import again
from via_state.runtime.rng import rng


class Connections:
    """``servers``: one of them is tried after the other, in a random order. ``options`` are nats-py's. ``encrypted``:
    nothing is ever sent in clear.

    ``prepare`` is awaited with each new connection before anyone uses it. ``connect_timeout``: seconds for one server;
    ``timeout``: seconds for an answer.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        encrypted: bool,
        connect_timeout: float,
        timeout: float,
        options: Callable[[], dict[str, Any]],
        prepare: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._servers, self._options, self._prepare = servers, options, prepare
        self._connect_timeout, self._timeout = connect_timeout, timeout
        self._encrypted = encrypted
        self._discovered: list[Address] = []
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._closed = False

    async def get(self) -> Connection:
        """The connection. Raises `BackplaneUnavailable` when no server is there now, and `Closed`."""
        self.check_open()
        if self._connection is not None and self._connection.alive:
            return self._connection
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            self.check_open()  # cancelled by `close`
            raise
        except BackplaneUnavailable as error:
            raise again(error) from error.__cause__  # several callers wait for one attempt

    def check_open(self) -> None:
        """Raises `Closed`."""
        if self._closed:
            raise Closed("This NATS backplane was closed.")

    async def _open(self) -> Connection:
        if self._connection is not None:
            await self._connection.close()  # for those who may still wait for it
        servers = [*{one.url: one for one in (*self._discovered, *self._servers)}.values()]
        rng.shuffle(servers)
        problems: list[BackplaneUnavailable] = []
        for server in servers:
            connection = Connection(self._timeout)
            try:
                await connection.connect(server, self._connect_timeout, self._options(), encrypted=self._encrypted)
                await self._prepare(connection)
            except BackplaneUnavailable as error:
                await connection.close()
                problems.append(error)
                continue
            except BaseException:
                await connection.close()
                raise
            # The others of its cluster know the same logins.
            self._discovered = [
                Address(one.geturl(), server.login) for one in connection.client.discovered_servers
            ]
            self._connection = connection
            return connection
        raise problems[0]

    async def close(self) -> None:
        """Whoever waits gets `Closed`, or learns that no answer comes."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
