"""Which pages may open a live connection here: those of this very site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": 80, "https": 443}


def allowed(scope: Mapping[str, Any]) -> bool:
    """Whether the page that asks for this connection is one of this site, or trusted by it.

    Its ``Origin`` must be the scheme, the host and the port that it came to, or one of ``CSRF_TRUSTED_ORIGINS``. Behind a proxy, the server in
    front of this must be told of it (uvicorn: ``--proxy-headers``), so that ``scope["scheme"]`` is the visitor's.
    """
    host, origin = header(scope, b"host"), header(scope, b"origin")
    if host is None or origin is None:
        return False
    hosts = settings.ALLOWED_HOSTS or (["localhost", "127.0.0.1", "[::1]", ".localhost"] if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, hosts):
        return False
    there = _origin(origin)
    here = _origin(f"{_SCHEMES.get(scope.get('scheme', 'ws'))}://{host}")
    return there is not None and (there == here or _trusted(there, settings.CSRF_TRUSTED_ORIGINS))


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The one value of a header; None where there is none, or several."""
    found = [value for key, value in scope.get("headers", ()) if key.lower() == name]
    return found[0].decode("latin1") if len(found) == 1 else None


def _trusted(there: tuple[str, str, int], trusted: Iterable[str]) -> bool:
    scheme, host, port = there
    for one in trusted:
        begin, star, end = one.partition("://*.")
        if star:
            wanted = _origin(f"{begin}://{end}")
            if wanted is not None and wanted[::2] == (scheme, port) and host.endswith(f".{wanted[1]}"):
                return True
        elif _origin(one) == there:
            return True
    return False


def _origin(text: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path or parts.query or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
