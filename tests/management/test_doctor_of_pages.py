"""What the doctor finds between live pages and browsers, and of the way to the backplane."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from testproject.servers.redis import Redis
from tests.handlers.world import Shop
from tests.management.test_doctor import doctor, problems, shop
from via_state.core.findings import Level
from via_state.operations.doctor import doctor as looking
from via_state.operations.doctor.pages import browsers, channel_layer

__all__ = ["shop"]
REDIS = "channels_redis.core.RedisChannelLayer"


@pytest.mark.django_db(databases=["postgres", "default"], transaction=True)
def test_the_way_to_the_backplane_is_measured(
    postgres: object, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "D101" in doctor()[1]
    assert "D101" not in problems()
    monkeypatch.setattr(looking, "SLOW", 0.0)
    assert problems()["D101"].startswith("The backplane answered after ")


def test_a_channel_layer_gives_its_message_back(redis: Redis, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": REDIS, "CONFIG": {"hosts": [redis.url]}}}
    (found,) = channel_layer()
    assert found.level is Level.OK, found
    assert found.text.startswith("The channel layer gave a message back after ")
    redis.process.signal(signal.SIGSTOP)  # it takes connections, and answers nothing
    try:
        (found,) = channel_layer()
    finally:
        redis.process.signal(signal.SIGCONT)
    assert found.level is Level.BAD
    assert "did not come within 1 s" in found.text


def test_a_channel_layer_whose_server_refuses_is_named(redis: Redis, settings: Any) -> None:
    wrong = redis.url.replace(redis.password, "wrong")
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": REDIS, "CONFIG": {"hosts": [wrong]}}}
    (found,) = channel_layer()
    assert found.level is Level.BAD
    assert "carries nothing: " in found.text
    assert "wrong" not in found.text.replace("wrong number", "").replace("WRONGPASS", "")


@pytest.mark.parametrize(
    "layers",
    [
        None,
        {},
        {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        {"default": {"BACKEND": "via_state.layers.BackplaneChannelLayer"}},
    ],
)
def test_where_no_other_server_is_used_nothing_is_sent(settings: Any, layers: object) -> None:
    settings.CHANNEL_LAYERS = layers
    assert [one.level for one in channel_layer()] == [Level.OK]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SESSION_COOKIE_PATH", "/shop/", "all visitors are strangers there"),
        ("SESSION_COOKIE_SAMESITE", "None", "browsers drop such a cookie"),
        (
            "SECURE_CSP",
            {"default-src": ["'none'"], "script-src": ["'self'"]},
            "lets no page open the socket: its connect-src is 'none'",
        ),
        ("SECURE_CSP", {"script-src": ["https://cdn"]}, "lets no page run the client script"),
        ("CONTENT_SECURITY_POLICY", {"DIRECTIVES": {"connect-src": []}}, "its connect-src is empty"),
    ],
)
def test_what_keeps_a_page_from_its_socket_is_named(settings: Any, name: str, value: object, said: str) -> None:
    assert [one.level for one in browsers()] == [Level.OK]
    setattr(settings, name, value)
    (found,) = browsers()
    assert (found.id, found.level) == ("D308", Level.BAD)
    assert said in found.text
    assert found.hint


def test_policies_that_let_live_pages_be_are_well(settings: Any) -> None:
    settings.SECURE_CSP = {"default-src": ["'self'"], "script-src": ["<CSP_NONCE_SENTINEL>", "'strict-dynamic'"]}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"connect-src": ["wss://shop.example.com"]}}
    assert [one.level for one in browsers()] == [Level.OK]
