"""What a NATS server refuses for good is said at once, and is never taken for an outage."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import nats as nats_py
import pytest

from testproject.servers.nats import Nats
from tests.conftest import nats_with
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.nats.api import Denied, Refused, get, refusal
from via_state.core.records import GENESIS
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable

RIGHTS = """
authorization {
    users: [
        { user: "admin", password: "admin" }
        { user: "reader", password: "reader", permissions: {
            publish: { allow: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*"] }
            subscribe: { allow: ["_INBOX.>"] }
        } }
    ]
}
"""


@pytest.fixture
def strict() -> Iterator[Nats]:
    """A server on which the user ``reader`` may look at streams, and at no message."""
    with nats_with(RIGHTS) as server:
        yield server


async def test_a_wrong_request_is_no_outage(nats: Nats) -> None:
    plane = NatsBackplane({"SERVERS": nats.url, "PREFIX": uuid.uuid4().hex})
    link = await plane._connections.get()
    with pytest.raises(BackplaneRefused, match="bad request"):
        await get(link, plane._logs._stream, seq=0)
    await plane.close()


@pytest.mark.parametrize(
    ("status", "code", "lasting"),
    [(400, 10003, True), (403, 10000, True), (404, 10059, False), (503, 10008, False), (500, 10047, False)],
)
def test_refusals_are_told_apart_in_one_place(status: int, code: int, lasting: bool) -> None:
    error = refusal(status, code, "text")
    assert isinstance(error, Refused)
    assert isinstance(error, Denied) == isinstance(error, BackplaneRefused) == lasting
    assert error.code == code


async def test_a_stream_that_does_not_suit_is_refused_and_not_away(nats: Nats) -> None:
    prefix = uuid.uuid4().hex
    client = await nats_py.connect(nats.url)
    await client.jetstream().add_stream(name=f"{prefix}_log", subjects=[f"{prefix}.>"])
    await client.close()
    plane = NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix})
    with pytest.raises(BackplaneRefused, match="does not suit"):
        await plane.read("log", GENESIS)
    await plane.close()


async def test_a_missing_right_is_named(strict: Nats) -> None:
    plane = NatsBackplane(
        {"SERVERS": strict.url, "PREFIX": "rights", "USER": "reader", "PASSWORD": "reader", "TIMEOUT": 0.5}
    )
    with pytest.raises(BackplaneRefused, match=r"does not allow '\$JS\.API\.(DIRECT|STREAM\.MSG)"):
        await plane.read("log", GENESIS)
    await plane.close()


async def test_a_server_that_is_gone_is_away_and_not_refused(strict: Nats) -> None:
    strict.stop()
    plane = NatsBackplane({"SERVERS": strict.url, "PREFIX": "rights", "CONNECT_TIMEOUT": 0.5})
    with pytest.raises(BackplaneUnavailable) as raised:
        await plane.read("log", GENESIS)
    assert not isinstance(raised.value, BackplaneRefused)
    await plane.close()
    await asyncio.sleep(0)
