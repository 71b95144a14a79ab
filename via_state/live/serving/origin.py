"""Which pages may open a live connection here: those of this very site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"http": 80, "https": 443}


def allowed(scope: Mapping[str, Any]) -> bool:
    """Whether the page that asks for this connection is one of this site, or trusted by it.

    Behind a proxy, the server in front of this must be told of it (uvicorn: ``--proxy-headers``), so that ``scope["scheme"]`` is the
    visitor's; ``SECURE_PROXY_SSL_HEADER`` and ``USE_X_FORWARDED_HOST`` count as they do for requests.
    """
    return of_this_site(scheme_of(scope), host_of(scope), header(scope, b"origin"))


def of_this_site(scheme: str, host: str | None, origin: str | None) -> bool:
    """Whether the ``Origin`` is the scheme, the host and the port that were asked, or one of ``CSRF_TRUSTED_ORIGINS``."""
    if host is None or origin is None:
        return False
    hosts = settings.ALLOWED_HOSTS or (["localhost", "127.0.0.1", "[::1]", ".localhost"] if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, hosts):
        return False
    there, here = _origin(origin), _origin(f"{scheme}://{host}")
    return there is not None and (there == here or _trusted(there, settings.CSRF_TRUSTED_ORIGINS))


def scheme_of(scope: Mapping[str, Any]) -> str:
    """``"http"`` or ``"https"``, as requests to the same place have it."""
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure = settings.SECURE_PROXY_SSL_HEADER
        value = header(scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode())
        if value is not None:
            return "https" if value.split(",", 1)[0].strip() == secure else "http"
    return _SCHEMES.get(scope.get("scheme", "ws"), "")


def host_of(scope: Mapping[str, Any]) -> str | None:
    """The host that was asked, with its port."""
    forwarded = header(scope, b"x-forwarded-host") if settings.USE_X_FORWARDED_HOST else None
    return forwarded or header(scope, b"host")


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
