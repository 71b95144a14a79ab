"""A connection on which nothing is written before it is encrypted, whatever the other end says."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import SecureConnWantedError


class ClearTextRefused(SecureConnWantedError):
    """TLS is wanted, and the server, or whoever answers in its place, does not begin it."""

    def __str__(self) -> str:
        return (
            "TLS is wanted, and the server does not ask for it, so nothing was sent. Give the server a tls block, "
            "without allow_non_tls; or take TLS out of OPTIONS, and tls:// out of SERVERS"
        )


class EncryptedTransport(TcpTransport):
    """Writes nothing in clear: nats-py sends the login in clear to a server that says ``tls_required: false``."""

    _encrypted = False

    def __bool__(self) -> bool:
        return True  # or nats-py, which asks whether it is connected, puts one of its own in its place

    async def connect_tls(
        self, uri: Any, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        self._encrypted = True

    def write(self, payload: bytes) -> None:
        self._check()
        super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: Iterable[bytes]) -> None:
        self._check()
        super().writelines(payload)  # type: ignore[no-untyped-call]

    def _check(self) -> None:
        if not self._encrypted:
            raise ClearTextRefused


def encrypt(client: Client) -> None:
    """Let a client that is not connected yet write nothing in clear."""
    if not hasattr(client, "_transport"):
        raise RuntimeError(
            "This version of nats-py is not known to via_state: TLS can't be made sure. Install nats-py 2.15."
        )
    client._transport = EncryptedTransport()  # type: ignore[no-untyped-call]
