"""Which pages may open a WebSocket here: those of this very site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"http": 80, "https": 443}


class SameOrigin:
    """Refuses a connection whose ``Origin`` is not the scheme, the host and the port that it came to.

    Channels' AllowedHostsOriginValidator compares the host alone: a page of another port of this host, or one that came without
    TLS, could speak in the visitor's name. ``CSRF_TRUSTED_ORIGINS`` may name others. Behind a proxy, the server in front of this
    must be told of it (uvicorn: ``--proxy-headers``), so that ``scope["scheme"]`` is the visitor's.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        application = self._application if allowed(scope) else WebsocketDenier()
        return await application(scope, receive, send)


def allowed(scope: dict[str, Any]) -> bool:
    """Whether the page that asks for this connection is one of this site, or trusted by it."""
    host, origin = _header(scope, b"host"), _header(scope, b"origin")
    if host is None or origin is None:
        return False
    hosts = settings.ALLOWED_HOSTS or (["localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, hosts):
        return False
    here = _origin(f"{_SCHEMES.get(scope.get('scheme', 'ws'))}://{host}")
    there = _origin(origin)
    return there is not None and (there == here or there in map(_origin, settings.CSRF_TRUSTED_ORIGINS))


def _header(scope: dict[str, Any], name: bytes) -> str | None:
    """The one value of a header; None where there is none, or several."""
    found = [value for key, value in scope.get("headers", ()) if key.lower() == name]
    return found[0].decode("latin1") if len(found) == 1 else None


def _origin(text: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path or parts.query or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
