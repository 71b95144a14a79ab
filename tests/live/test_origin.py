"""Only pages of this very site may open a live connection."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from via_state.live.serving.origin import allowed


def scope(origin: str | None, host: str = "shop.example", scheme: str = "wss", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return {"scheme": scheme, "headers": headers, **more}


@pytest.fixture(autouse=True)
def hosts() -> Any:
    trusted = ["https://admin.example", "https://*.partner.example:8443", "https://*.x.com"]
    with override_settings(ALLOWED_HOSTS=["shop.example", ".x.com"], CSRF_TRUSTED_ORIGINS=trusted, DEBUG=False):
        yield


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://shop.example", "shop.example", "wss"),
        ("https://shop.example", "shop.example:443", "wss"),
        ("http://shop.example:8000", "shop.example:8000", "ws"),
        ("https://SHOP.example", "shop.example", "wss"),
        ("https://admin.example", "shop.example", "wss"),
        ("https://a.partner.example:8443", "shop.example", "wss"),
        ("https://a.b.x.com", "shop.example", "wss"),
    ],
)
def test_c1_the_site_itself_and_those_that_it_trusts(origin: str, host: str, scheme: str) -> None:
    assert allowed(scope(origin, host, scheme))


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        (None, "shop.example", "wss"),
        ("null", "shop.example", "wss"),
        ("", "shop.example", "wss"),
        ("http://shop.example", "shop.example", "wss"),
        ("https://shop.example", "shop.example", "ws"),
        ("https://shop.example:8443", "shop.example", "wss"),
        ("https://shop.example.evil.com", "shop.example", "wss"),
        ("https://evil-x.com", "shop.example", "wss"),
        ("https://x.com", "shop.example", "wss"),
        ("https://partner.example:8443", "shop.example", "wss"),
        ("https://a.partner.example", "shop.example", "wss"),
        ("https://evil.example", "evil.example", "wss"),
        ("https://shop.example/path", "shop.example", "wss"),
        ("https://user@shop.example", "shop.example", "wss"),
        ("https://shop.example:99999999", "shop.example", "wss"),
        ("file://", "shop.example", "wss"),
        ("https://[::1", "shop.example", "wss"),
    ],
)
def test_c1_nobody_else(origin: str | None, host: str, scheme: str) -> None:
    assert not allowed(scope(origin, host, scheme))


def test_c1_the_settings_of_a_proxy_count_as_they_do_for_requests() -> None:
    proxied = scope("https://shop.example", host="10.0.0.7:8000", scheme="ws")
    proxied["headers"] += [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"shop.example")]
    assert not allowed(proxied)
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"), USE_X_FORWARDED_HOST=True):
        assert allowed(proxied)


@pytest.mark.parametrize("name", [b"origin", b"host"])
def test_c1_two_headers_are_none(name: bytes) -> None:
    twice = scope("https://shop.example")
    twice["headers"] += [pair for pair in twice["headers"] if pair[0] == name]
    assert not allowed(twice)
