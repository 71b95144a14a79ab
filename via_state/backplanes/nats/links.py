"""The connection of a process, made again whenever it is needed and gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from via_state.backplanes.nats.addresses import Address
from via_state.backplanes.nats.link import Link
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.runtime.rng import rng


class Links:
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
        prepare: Callable[[Link], Awaitable[None]],
    ) -> None:
        self._servers, self._options, self._prepare = servers, options, prepare
        self._connect_timeout, self._timeout = connect_timeout, timeout
        self._encrypted = encrypted
        self._discovered: list[Address] = []
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False

    async def get(self) -> Link:
        """The connection. Raises `BackplaneUnavailable` when no server is there now, and `Closed`."""
        self.check_open()
        if self._link is not None and self._link.alive:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            self.check_open()  # cancelled by `close`
            raise

    def check_open(self) -> None:
        """Raises `Closed`."""
        if self._closed:
            raise Closed("This NATS backplane was closed.")

    async def _open(self) -> Link:
        if self._link is not None:
            await self._link.close()  # for those who may still wait for it
        servers = [*{one.url: one for one in (*self._discovered, *self._servers)}.values()]
        rng.shuffle(servers)
        problems: list[BackplaneUnavailable] = []
        for server in servers:
            link = Link(self._timeout)
            try:
                await link.connect(server, self._connect_timeout, self._options(), encrypted=self._encrypted)
                await self._prepare(link)
            except BackplaneUnavailable as error:
                await link.close()
                problems.append(error)
                continue
            except BaseException:
                await link.close()
                raise
            # The others of its cluster know the same logins.
            self._discovered = [Address(one.geturl(), server.login) for one in link.client.discovered_servers]
            self._link = link
            return link
        raise problems[0]

    async def close(self) -> None:
        """Whoever waits gets `Closed`, or learns that no answer comes."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
