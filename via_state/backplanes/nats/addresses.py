"""Addresses of servers, taken apart: where they are, and as whom to log in there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from via_state.backplanes.network import is_loopback
from via_state.redacted import Secret

#: What each scheme means; one of ``tls`` makes all connections encrypted ones.
SCHEMES = ("nats", "tls")
PORT = 4222
WRONG = "SERVERS holds something that is no address of NATS (it is not shown, for it may hold a password): run manage.py check"


class Address(NamedTuple):
    """``url`` has no login, so that it may be printed. ``login``: nats-py's options, secrets as `Secret`."""

    url: str
    login: Mapping[str, Any]

    @property
    def tls(self) -> bool:
        return self.url.startswith("tls:")

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine sees what is sent there."""
        return is_loopback(urlsplit(self.url).hostname or "")


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
    shown = f"[{host}]" if ":" in host else host
    return Address(f"{parts.scheme}://{shown}:{port or PORT}", _login(parts.username, parts.password))


def _login(user: str | None, password: str | None) -> dict[str, Any]:
    if not user:
        return {}
    if password is None:
        return {"token": Secret(unquote(user))}
    return {"user": unquote(user), "password": Secret(unquote(password))}
