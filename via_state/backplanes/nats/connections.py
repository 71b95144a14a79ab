"""The connection of a process, made again whenever it is needed and gone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.dialing import Dialing
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, Closed
from via_state.runtime.kept_errors import again
from via_state.runtime.patience import seconds_to_send


class Connections:
    """``dialing``: how one is made. ``prepare`` is awaited with each new connection before anyone uses it.

    ``connect_timeout``: seconds for one address of a server; ``timeout``: seconds for an answer. ``api``: before the verbs of JetStream.
    """

    def __init__(
        self,
        dialing: Dialing,
        connect_timeout: float,
        timeout: float,
        api: str,
        prepare: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self._dialing, self._prepare, self._api = dialing, prepare, api
        self._connect_timeout, self._timeout = connect_timeout, timeout
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
        left = seconds_to_send()
        try:
            async with asyncio.timeout(left if left < math.inf else None):
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise BackplaneUnavailable(
                f"NATS was not connected to within {left:.1f} s. Nothing was sent."
            ) from None
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
        problems: list[BackplaneUnavailable] = []
        for way in await self._dialing.ways(self._connect_timeout):
            connection = Connection(self._timeout, self._api)
            try:
                await connection.connect(way, self._connect_timeout)
                await self._prepare(connection)
            except BackplaneUnavailable as error:
                await connection.close()
                problems.append(error)
                continue
            except BaseException:
                await connection.close()
                raise
            way.learn(connection.client)
            self._connection = connection
            return connection
        raise next((one for one in problems if isinstance(one, BackplaneRefused)), problems[0])

    async def close(self) -> None:
        """Whoever waits gets `Closed`, or learns that no answer comes."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
