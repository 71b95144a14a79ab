"""What the doctor says of NATS, with each fault really made."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats as nats_py
import pytest
import pytest_asyncio
from nats.aio.client import Client

from testproject.servers.nats import Nats, NatsCluster
from tests.conftest import nats_with, server_folder
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.nats.streams import Streams
from via_state.backplanes.nats.subjects import Subjects
from via_state.core.findings import Finding, Level
from via_state.exceptions import BackplaneUnavailable
from via_state.testing.conformance.harness import append


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest_asyncio.fixture
async def client(nats: Nats) -> AsyncIterator[Client]:
    connection = await nats_py.connect(nats.url)
    yield connection
    await connection.close()


async def examined(url: str | list[str], prefix: str, **options: Any) -> dict[str, list[Finding]]:
    """What there is to say, by id."""
    plane = NatsBackplane({"SERVERS": url, "PREFIX": prefix, **options})
    try:
        await append(plane, "log", b"x")
        found: dict[str, list[Finding]] = {}
        for one in await plane.examine():
            found.setdefault(one.id, []).append(one)
        return found
    finally:
        await plane.close()


def problems(found: list[Finding]) -> str:
    assert all(one.hint for one in found if one.level is Level.BAD)
    return "\n".join(one.text for one in found if one.level is Level.BAD)


async def test_streams_on_one_server_are_named_and_the_rest_is_well(nats: Nats, prefix: str) -> None:
    found = await examined(nats.url, prefix)
    assert found.keys() == {"D201", "D202", "D203", "D204", "D205"}
    assert f"The stream '{prefix}_log' is kept by one server" in problems(found["D201"])
    assert [one.level for one in found["D202"]] == [Level.UNKNOWN]
    assert {one.level for id in ("D203", "D204", "D205") for one in found[id]} == {Level.OK}


async def test_the_reminder_can_be_silenced(nats: Nats, prefix: str, settings: Any) -> None:
    settings.SILENCED_SYSTEM_CHECKS = ["via_state.W005"]
    assert "D202" not in await examined(nats.url, prefix)


async def test_streams_in_memory_and_lazy_ones_are_named(nats: Nats, prefix: str, client: Client) -> None:
    config = Streams(Subjects(prefix), 1, "file")._log_config()
    await client.request(
        f"$JS.API.STREAM.CREATE.{prefix}_log", _json({**config, "persist_mode": "async"}), timeout=5
    )
    found = await examined(nats.url, prefix, STORAGE="memory")
    text = problems(found["D202"])
    assert f"The stream '{prefix}_log' is written to disk some time after it was acknowledged" in text
    assert f"The stream 'KV_{prefix}_cells' is kept in memory" in text


async def test_a_stream_that_is_nearly_full_is_named(nats: Nats, prefix: str, client: Client) -> None:
    config = Streams(Subjects(prefix), 1, "file")._log_config()
    await client.request(f"$JS.API.STREAM.CREATE.{prefix}_log", _json({**config, "max_msgs": 2}), timeout=5)
    text = problems((await examined(nats.url, prefix))["D203"])
    assert f"The stream '{prefix}_log' is nearly full: messages 2, and it takes 2" in text


async def test_an_account_that_is_nearly_full_is_named(prefix: str) -> None:
    config = """
    accounts: { SHOP: { users: [{ user: shop, password: shop }], jetstream: { max_file: 4K, max_mem: 1M } } }
    """
    with nats_with(config) as server:
        found = await examined(server.url, prefix, USER="shop", PASSWORD="shop")
        if not problems(found["D203"]):
            found = await _filled(server, prefix)
    assert "The account is nearly full: storage" in problems(found["D203"])


async def _filled(server: Nats, prefix: str) -> dict[str, list[Finding]]:
    plane = NatsBackplane({"SERVERS": server.url, "PREFIX": prefix, "USER": "shop", "PASSWORD": "shop"})
    await append(plane, "log", b"x" * 3000)
    await plane.close()
    return await examined(server.url, prefix, USER="shop", PASSWORD="shop")


async def test_a_clock_that_differs_is_named(nats: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 30)
    assert "is 30.0 s after this machine's" in problems((await examined(nats.url, prefix))["D204"])


async def test_a_server_that_is_gone_does_not_answer(prefix: str) -> None:
    with server_folder() as folder:
        server = Nats(folder / "nats")
        server.start()
        url = server.url
        server.stop()
    plane = NatsBackplane({"SERVERS": url, "PREFIX": prefix, "CONNECT_TIMEOUT": 0.5})
    with pytest.raises(BackplaneUnavailable):
        await plane.examine()
    await plane.close()


@pytest.fixture
def cluster() -> Iterator[NatsCluster]:
    with server_folder() as folder:
        servers = NatsCluster(folder)
        servers.start()
        yield servers
        servers.stop()


@pytest.mark.cluster
async def test_a_server_of_a_cluster_that_is_down_is_named(cluster: NatsCluster, prefix: str) -> None:
    plane = NatsBackplane({"SERVERS": cluster.urls, "PREFIX": prefix, "REPLICAS": 3, "TIMEOUT": 2.0})
    deadline = time.monotonic() + 40

    async def said(id: str, text: str) -> None:
        while True:
            try:
                found = [one.text for one in await plane.examine() if one.id == id]
            except BackplaneUnavailable as error:
                found = [str(error)]
            if any(text in one for one in found):
                return
            assert time.monotonic() < deadline, found

    await said("D205", "All servers of the streams are there.")
    await said("D201", "Each stream is kept by several servers.")
    cluster.servers[1].stop()
    await said("D205", "The server 'server-1' of the stream")
    await plane.close()


def _json(value: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(value)
