"""The WebSockets: what a page follows, and what it may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.test import AsyncClient, override_settings

from testproject.asgi import application
from testproject.banner.state import Site
from testproject.chat.state import Chat, Posted
from testproject.counter.state import Counter, Tick
from testproject.pages.live import NOTHING_TO_FOLLOW, TRY_AGAIN_LATER
from testproject.pages.origin import allowed
from tests.faults import FaultyBackplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing.conformance.harness import eventually

# Channels closes old database connections between two messages.
pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = (b"origin", b"http://localhost:8001")
HOST = (b"host", b"localhost:8001")


def socket(path: str, *headers: tuple[bytes, bytes]) -> WebsocketCommunicator:
    return WebsocketCommunicator(application, path, headers=[*(headers or (ORIGIN,)), HOST])


@asynccontextmanager
async def connected(path: str, *headers: tuple[bytes, bytes]) -> AsyncIterator[WebsocketCommunicator]:
    """A page's end of a WebSocket."""
    page = socket(path, *headers)
    accepted, _ = await page.connect()
    assert accepted
    yield page
    await page.disconnect()


async def received(page: WebsocketCommunicator) -> Any:
    return json.loads(await page.receive_from(timeout=5))


async def test_a_page_is_sent_the_total_now_and_after_each_change() -> None:
    await Counter.total.aappend(Tick())

    async with connected("/ws/counter/") as page:
        assert await received(page) == {"key": "counter", "value": 1}
        await Counter.total.aappend(Tick())
        assert await received(page) == {"key": "counter", "value": 2}


async def test_a_page_follows_its_room_alone() -> None:
    async with connected("/ws/chat/caf%C3%A9/") as page:
        assert await received(page) == {"key": "room.caf~C3~A9", "value": []}
        await Chat.room.at(room="lobby").aappend(Posted("Ada", "elsewhere"))
        await Chat.room.at(room="café").aappend(Posted("Ada", "here"))
        assert (await received(page))["value"] == [{"author": "Ada", "text": "here", "note": False}]


async def test_a_page_follows_the_banner() -> None:
    async with connected("/ws/banner/") as page:
        assert await received(page) == {"key": "banner", "value": "Welcome"}
        await Site.banner.aset("Hello")
        assert await received(page) == {"key": "banner", "value": "Hello"}
        await Site.banner.areset()
        assert await received(page) == {"key": "banner", "value": "Welcome"}


async def test_a_page_follows_the_profile_of_its_own_session(async_client: AsyncClient) -> None:
    await async_client.post("/profile/", {"name": "Ada"})
    cookie = (b"cookie", f"sessionid={async_client.cookies['sessionid'].value}".encode())

    async with connected("/ws/profile/", ORIGIN, cookie) as page:
        assert await received(page) == {"key": "profile", "value": {"name": "Ada"}}
        await AsyncClient().post("/profile/", {"name": "Eve"})
        await async_client.post("/profile/", {"name": "Grace"})
        assert await received(page) == {"key": "profile", "value": {"name": "Grace"}}


async def test_a_visitor_without_a_session_is_told_to_ask_again() -> None:
    page = socket("/ws/profile/")
    await page.connect()

    assert await received(page) == {"key": "profile", "value": {"name": ""}}
    assert await page.receive_output(timeout=5) == {"type": "websocket.close", "code": NOTHING_TO_FOLLOW}


async def test_while_the_backplane_is_away_a_page_is_told_to_ask_again() -> None:
    backplane = FaultyBackplane(MemoryBackplane({}))
    backplane.down = True
    with override_settings(VIA_STATE={"READ_TIMEOUT": 0.05}), use_pod(Pod(backplane)) as pod:
        page = socket("/ws/counter/")
        await page.connect()
        assert await page.receive_output(timeout=5) == {"type": "websocket.close", "code": TRY_AGAIN_LATER}
        await pod.aclose()


@pytest.mark.parametrize("path", ["/ws/", "/ws/nowhere/", "/counter/", "/ws/chat/a%20b/", f"/ws/chat/{'x' * 41}/"])
async def test_unknown_paths_are_refused(path: str) -> None:
    accepted, _ = await socket(path).connect()

    assert not accepted


@pytest.mark.parametrize(
    "origins",
    [
        [],
        ["http://elsewhere.example"],
        ["http://localhost:9001"],
        ["http://localhost"],
        ["https://localhost:8001"],
        ["http://127.0.0.1:8001"],
        ["http://localhost:8001.elsewhere.example"],
        ["http://localhost:8001@elsewhere.example"],
        ["http://elsewhere.example:8001"],
        ["http://me@localhost:8001"],
        ["localhost:8001"],
        ["null"],
        [""],
        ["http://localhost:99999999"],
        ["http://localhost:8001", "http://localhost:8001"],
    ],
)
async def test_pages_of_other_sites_ports_and_schemes_are_refused(origins: list[str]) -> None:
    given = [(b"origin", one.encode()) for one in origins] or [(b"accept", b"*/*")]
    accepted, _ = await socket("/ws/counter/", *given).connect()

    assert not accepted


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("ws", "localhost", "http://localhost"),
        ("ws", "localhost", "http://localhost:80"),
        ("ws", "localhost:80", "http://localhost"),
        ("wss", "localhost", "https://localhost:443"),
        ("wss", "LOCALHOST", "https://localhost"),
        ("ws", "127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("ws", "localhost", "https://shop.example:8443"),
    ],
)
@override_settings(CSRF_TRUSTED_ORIGINS=["https://shop.example:8443"])
def test_pages_of_this_site_and_of_those_it_trusts_are_let_in(scheme: str, host: str, origin: str) -> None:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert allowed({"scheme": scheme, "headers": headers})


@pytest.mark.parametrize("host", ["rebound.example", "localhost@elsewhere", "", "localhost:8001:1"])
def test_a_host_that_is_not_ours_lets_nobody_in(host: str) -> None:
    headers = [(b"host", host.encode()), (b"origin", f"http://{host}".encode())]
    assert not allowed({"scheme": "ws", "headers": headers})


async def test_nothing_stays_behind_when_a_page_leaves(pod: Pod) -> None:
    projector = await pod.thread.acall(_projector(pod))
    before = asyncio.all_tasks()

    async with connected("/ws/counter/") as page:
        await received(page)
        assert projector.subscribers

    await eventually(lambda: not projector.subscribers, "the end of listening")
    assert asyncio.all_tasks() <= before


async def test_nothing_stays_behind_when_the_server_stops(pod: Pod) -> None:
    projector = await pod.thread.acall(_projector(pod))
    page = socket("/ws/counter/")
    await page.connect()
    await received(page)

    page.future.cancel()

    await eventually(lambda: not projector.subscribers, "the end of listening")


async def _projector(pod: Pod) -> Any:
    return pod.replicas.log(Counter.total.key, Counter.total.definition.spec())


@pytest.mark.parametrize("path", ["/ws/counter/press/", "/ws/counter/press/sync/"])
async def test_consumers_of_either_kind_append_and_read(path: str) -> None:
    async with connected(path) as button:
        await button.send_to("press")
        assert await button.receive_from(timeout=5) == "1"
        await button.send_to("press")
        assert await button.receive_from(timeout=5) == "2"

    assert await Counter.total.aread() == 2
