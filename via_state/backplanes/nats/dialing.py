"""How a connection is made: to the servers of OPTIONS, or by a function of the project's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from django.utils.module_loading import import_string
from nats.aio.client import Client

from via_state.backplanes.nats.addresses import Address, addresses_of
from via_state.backplanes.nats.encrypted import encrypt
from via_state.exceptions import BackplaneRefused
from via_state.runtime.rng import rng

#: Options of nats-py, each of which goes before the login in an address.
LOGINS = {"user", "token", "signature_cb", "nkeys_seed"}


class Way(Protocol):
    """One way to a server."""

    async def dial(self, ours: dict[str, Any], seconds: float) -> Client:
        """A connected client, with the options ``ours``. What it raises says why there is none; nothing was sent then."""

    def learn(self, client: Client) -> None:
        """It led there."""


class Dialing(Protocol):
    """Where the ways come from."""

    async def ways(self, seconds: float) -> Sequence[Way]:
        """In the order in which they are tried. ``seconds``: patience with a name server. Raises `BackplaneUnavailable`, `BackplaneRefused`."""


class ToServers:
    """``servers``: one of them is tried after the other, in a random order, and each address that its name stands for by itself: one
    that is silent takes no time from the next. ``options`` gives nats-py's. ``encrypted``: nothing is ever sent in clear.
    """

    def __init__(self, servers: Sequence[Address], encrypted: bool, options: Callable[[], dict[str, Any]]) -> None:
        self._servers, self._encrypted, self._options = servers, encrypted, options
        self._discovered: list[Address] = []

    async def ways(self, seconds: float) -> Sequence[Way]:
        options = self._options()
        servers = [*{one.url: one for one in (*self._discovered, *self._servers)}.values()]
        rng.shuffle(servers)
        hosts = await asyncio.gather(*(addresses_of(server, seconds) for server in servers))
        return [
            _ToServer(server, url, self._encrypted, options, self._learn)
            for server, urls in zip(servers, hosts, strict=True)
            for url in urls
        ]

    def _learn(self, server: Address, client: Client) -> None:
        # The others of its cluster know the same logins.
        self._discovered = [Address(one.geturl(), server.login) for one in client.discovered_servers]


class _ToServer:
    def __init__(
        self,
        server: Address,
        url: str,
        encrypted: bool,
        options: dict[str, Any],
        learn: Callable[[Address, Client], None],
    ) -> None:
        self._server, self._url, self._encrypted, self._options, self._learn = (
            server,
            url,
            encrypted,
            options,
            learn,
        )

    async def dial(self, ours: dict[str, Any], seconds: float) -> Client:
        client = Client()
        if self._encrypted:
            encrypt(client)
        login = {} if LOGINS & self._options.keys() else self._server.login
        # A certificate is of the name, whichever of its addresses is tried.
        name = {} if self._url == self._server.url else {"tls_hostname": self._server.host}
        try:
            await client.connect(
                self._url,
                connect_timeout=math.ceil(seconds),
                name="via_state",
                **{**ours, **login, **name, **self._options},
            )
        except BaseException:
            await _leave(client)
            raise
        return client

    def learn(self, client: Client) -> None:
        self._learn(self._server, client)


class ByProject:
    """``path``: the dotted path of an async function that makes a connection with what it is given, and whatever else it wants."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def ways(self, seconds: float) -> Sequence[Way]:
        return [self]

    async def dial(self, ours: dict[str, Any], seconds: float) -> Client:
        client = await import_string(self._path)(**ours)
        problem = None
        if not isinstance(client, Client):
            raise BackplaneRefused(
                f"CONNECTION {self._path!r} gave {type(client).__name__}, not a client of nats-py."
            )
        if not client.is_connected:
            problem = "gave a client that is not connected. Await its connect()."
        elif client.options.get("allow_reconnect") or client._closed_cb is not ours["closed_cb"]:
            problem = "left out options that via_state gave it. Pass them on: nats.connect(..., **options)."
        if problem is not None:
            await _leave(client)
            raise BackplaneRefused(f"CONNECTION {self._path!r} {problem}")
        return client

    def learn(self, client: Client) -> None:
        pass


async def _leave(client: Client) -> None:
    try:
        await client.close()
    except Exception:  # half a connection; its end is all that is wanted
        return
