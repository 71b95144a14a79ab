"""Addresses of servers, taken apart: where they are, and as whom to log in there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from via_state.backplanes.network import is_loopback
from via_state.redacted import Secret

#: What each scheme means; one of ``tls`` makes all connections encrypted ones.
SCHEMES = ("nats", "tls")
PORT = 4222
WRONG = "SERVERS holds something that is not an address of NATS (it is not shown, for it may hold a password): run manage.py check"


class Address(NamedTuple):
    """``url`` has no login, so that it may be printed. ``login``: nats-py's options, secrets as `Secret`."""

    url: str
    login: Mapping[str, Any]

    @property
    def tls(self) -> bool:
        return self.url.startswith("tls:")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine sees what is sent there."""
        return is_loopback(self.host)


def address_of(text: str) -> Address:
    """Raises ValueError, which does not say the text: it may hold a password."""
    try:
        parts = urlsplit(text if "//" in text else f"nats://{text}")
        host, port = parts.hostname, parts.port
    except (ValueError, TypeError, AttributeError):
        raise ValueError(WRONG) from None
    if (
        parts.scheme not in SCHEMES
        or not host
        or port == 0
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError(WRONG)
    return Address(_url(parts.scheme, host, port or PORT), _login(parts.username, parts.password))


async def addresses_of(address: Address, seconds: float) -> list[str]:
    """The URLs of all addresses that a host's name stands for; its own where that is one, or where no name server says within ``seconds``."""
    found: list[str] = []
    with contextlib.suppress(OSError, UnicodeError, TimeoutError):  # whoever connects says so
        async with asyncio.timeout(seconds):
            parts = urlsplit(address.url)
            names = await asyncio.get_running_loop().getaddrinfo(address.host, parts.port, type=socket.SOCK_STREAM)
            found = [_url(parts.scheme, str(name[4][0]), parts.port) for name in names]
    return list(dict.fromkeys(found)) if len(set(found)) > 1 else [address.url]


def _url(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _login(user: str | None, password: str | None) -> dict[str, Any]:
    if not user:
        return {}
    if password is None:
        return {"token": Secret(unquote(user))}
    return {"user": unquote(user), "password": Secret(unquote(password))}
