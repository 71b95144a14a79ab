"""NATS JetStream: the contract, on a real server; and what becomes of it when the server or its streams go away."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats as nats_py
import pytest
from django.conf import settings
from nats.aio.client import Client

from testproject.servers import nats_backup
from testproject.servers.nats import Nats
from testproject.servers.proxy import Proxy
from tests.backplanes.conftest import MakeNats as Make
from tests.backplanes.cutting import append_many_while_cut, append_while_cut, persist, publish_while_cut
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane, log
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.log_metas import LogMetas
from via_state.core.records import GENESIS
from via_state.exceptions import (
    BackplaneUnavailable,
    Closed,
    OutcomeUnknown,
)
from via_state.testing.conformance import BackplaneConformance
from via_state.testing.conformance.harness import append, eventually, new_id, read_all
from via_state.testing.conformance.store import held

T = TypeVar("T")


@pytest.fixture
def make(make_nats: Make) -> Make:
    return make_nats


@pytest.fixture
def plane(make_nats: Make) -> NatsBackplane:
    """A backplane with the default options."""
    return make_nats()


@pytest.fixture
def client(nats_client: Client) -> Client:
    return nats_client


class TestNatsBackplane(BackplaneConformance):
    @pytest.fixture(autouse=True)
    def server(self, nats: Nats, prefix: str) -> None:
        self.options = {"SERVERS": nats.url, "PREFIX": prefix}

    def make(self) -> Backplane:
        return NatsBackplane(self.options)

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """As if a backup was restored that had the log's metadata and none of its records."""
        name = f"{self.options['PREFIX']}_log"
        connection = await nats_py.connect(self.options["SERVERS"])
        try:
            stream = connection.jetstream()
            config = (await stream.stream_info(name)).config
            meta = await stream.get_msg(name, seq=1)
            await nats_backup.delete(connection, name)
            await stream.add_stream(config)
            await stream.publish(meta.subject or "", meta.data or b"")
        finally:
            await connection.close()
        await append(plane, key, b"another", b"history")


# The network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_connections_neither_lose_nor_double_appends(make: Make, nats_proxy: Proxy, seed: int) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=2.0)
    await append_while_cut(plane, nats_proxy, seed)


async def test_a_train_that_is_cut_lands_once(make: Make, nats_proxy: Proxy) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=2.0)
    await append_many_while_cut(plane, nats_proxy)


async def test_a_hearing_that_is_cut_holds_again_and_hears_nothing_twice(make: Make, nats_proxy: Proxy) -> None:
    hearer = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}")
    await publish_while_cut(make(), hearer, nats_proxy)


async def test_a_message_that_can_not_be_sent_is_said(make: Make, nats_proxy: Proxy) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=1.0)
    nats_proxy.cut()
    with pytest.raises(BackplaneUnavailable, match="NATS can't be reached"):
        await plane.publish("topic", b"x")
    nats_proxy.restore()
    await plane.publish("topic", b"x")
    nats_proxy.freeze()
    with pytest.raises(OutcomeUnknown):
        await plane.publish("topic", b"x")
    nats_proxy.thaw()
    await persist(lambda: plane.publish("topic", b"x"))


async def test_a_server_that_is_down_is_said_quickly_and_found_again(make: Make, nats_proxy: Proxy) -> None:
    nats_proxy.cut()
    plane = make(SERVERS=[f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}"])
    rung: list[str | None] = []
    plane.watch(rung.append).add("log")
    started = time.monotonic()
    for step in (lambda: plane.append("log", new_id(), 1, b"x"), lambda: plane.read("log", GENESIS)):
        with pytest.raises(BackplaneUnavailable, match="NATS can't be reached"):
            await step()
    assert time.monotonic() - started < 2
    nats_proxy.restore()
    await eventually(lambda: None in rung, "the doorbells")
    await append(plane, "log", b"x")
    await eventually(lambda: "log" in rung, "a doorbell")


async def test_each_address_of_a_host_has_a_patience_of_its_own(
    nats: Nats, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, port = socket.getaddrinfo, urlsplit(nats.url).port

    def three_addresses(host: Any, *more: Any, **named: Any) -> Any:
        if host != "three.addresses.test":
            return resolve(host, *more, **named)
        return [one for number in (2, 3, 1) for one in resolve(f"127.0.0.{number}", *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", three_addresses)
    with socket.create_server(("127.0.0.2", port)), socket.create_server(("127.0.0.3", port)) as silent:
        plane = make(SERVERS=nats.url.replace("127.0.0.1", "three.addresses.test"), CONNECT_TIMEOUT=2.0)
        await append(plane, "log", b"x")
        only = make(SERVERS=f"nats://127.0.0.3:{silent.getsockname()[1]}", CONNECT_TIMEOUT=1.0)
        with pytest.raises(BackplaneUnavailable, match="no answer within 1 s"):
            await append(only, "log", b"x")


async def test_a_silent_network_ends_in_a_time_out(make: Make, nats_proxy: Proxy) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=0.3)
    append_id = new_id()
    before = await plane.append("log", append_id, 1, b"x")
    nats_proxy.freeze()
    with pytest.raises(BackplaneUnavailable):
        await plane.read("log", GENESIS)
    with pytest.raises(BackplaneUnavailable):
        await plane.cas("cell", None, b"x")  # it looks first
    with pytest.raises((OutcomeUnknown, BackplaneUnavailable)):
        await plane.append("log", new_id(), 1, b"y")
    nats_proxy.thaw()
    assert await persist(lambda: plane.append("log", append_id, 1, b"x")) == before


async def test_closing_ends_calls_in_flight(make: Make, nats_proxy: Proxy) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}")
    await append(plane, "log", b"x")
    nats_proxy.freeze()
    calls = [asyncio.create_task(plane.read("log", GENESIS)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(plane.close(), 5)
    for call in calls:
        with pytest.raises((Closed, BackplaneUnavailable)):
            await asyncio.wait_for(call, 5)
    nats_proxy.thaw()


async def test_writes_that_were_not_sent_are_not_sent_later(make: Make, nats_proxy: Proxy) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=0.5)
    await append(plane, "log", b"x")
    nats_proxy.cut()
    for _ in range(20):
        with pytest.raises((OutcomeUnknown, BackplaneUnavailable)):
            await plane.append("log", new_id(), 1, b"lost")
    nats_proxy.restore()
    await persist(lambda: append(plane, "log", b"y"))
    assert [data for _, data in await read_all(plane, "log")] == [b"x", b"y"]


async def test_an_append_whose_place_can_not_be_learned_is_of_unknown_outcome(
    plane: NatsBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To say that nothing was written would have it written again under another id."""
    await append(plane, "log", b"x")
    append_id, load = new_id(), LogMetas.load

    async def unreachable(self: LogMetas, connection: Connection, key: str) -> None:
        raise BackplaneUnavailable("cut")

    monkeypatch.setattr(LogMetas, "load", unreachable)
    with pytest.raises(OutcomeUnknown):
        await plane.append("log", append_id, 1, b"y")
    monkeypatch.setattr(LogMetas, "load", load)
    position = await plane.append("log", append_id, 1, b"y")
    assert (await read_all(plane, "log"))[1:] == [(position.offset, b"y")]


async def test_a_connection_that_closed_without_a_word_is_replaced(plane: NatsBackplane) -> None:
    await append(plane, "log", b"x")
    link = await plane._connections.get()
    link.client._status = Client.CLOSED  # as when nats-py meets an error while it closes
    await append(plane, "log", b"y")
    assert [data for _, data in await read_all(plane, "log")] == [b"x", b"y"]
    link.client._status = Client.CONNECTED
    await link.client.close()


# The server and its streams ---------------------------------------------------------------------------------


async def test_a_restart_of_the_server_changes_nothing(make: Make, own_server: Nats) -> None:
    plane = make(SERVERS=own_server.url)
    rung: list[str | None] = []
    plane.watch(rung.append).add("log")
    append_id = new_id()
    before = await plane.append("log", append_id, 3, b"abc")
    revision = await plane.cas("cell", None, b"x")
    cursor = (await plane.changed(None)).cursor
    await plane.compact("log", before.offset - 1)
    rung.clear()
    own_server.restart()
    await eventually(lambda: None in rung, "the doorbells")
    assert await persist(lambda: plane.append("log", append_id, 3, b"abc")) == before
    batch = await plane.read("log", before)
    assert (batch.cursor_id, batch.head, batch.floor.offset) == (before.record_id, before, before.offset - 1)
    assert held(await plane.load("cell")) == (b"x", revision)
    changes = await plane.changed(cursor)
    assert (changes.everything, set(changes.logs)) == (False, {"log"})


async def test_a_stream_that_was_deleted_is_waited_for(plane: NatsBackplane, client: Client, prefix: str) -> None:
    """To make a new one at once would be in the way of whoever restores it."""
    position = (await append(plane, "log", b"x"))[-1]
    backup = await nats_backup.back_up(client, f"{prefix}_log")
    await nats_backup.delete(client, f"{prefix}_log")
    await eventually_refused(plane, "the stream is gone")
    with pytest.raises(BackplaneUnavailable):
        await plane.append("log", new_id(), 1, b"y")
    await nats_backup.restore(client, backup)
    assert (await persist(lambda: plane.read("log", position))).cursor_id == position.record_id
    assert [data for _, data in await read_all(plane, "log")] == [b"x"]


async def eventually_refused(plane: NatsBackplane, words: str) -> None:
    said = ""
    deadline = time.monotonic() + 10
    while words not in said:
        assert time.monotonic() < deadline, said
        try:
            await plane.read("log", GENESIS)
        except BackplaneUnavailable as error:
            said = str(error)


async def test_a_stream_that_was_recreated_shows_another_epoch(
    plane: NatsBackplane, make: Make, client: Client, prefix: str
) -> None:
    positions = await append(plane, "log", b"1", b"2", b"3")
    cursor = (await plane.changed(None)).cursor
    await nats_backup.delete(client, f"{prefix}_log")
    await append(make(), "log", *(b"new %d" % number for number in range(6)))
    batch = await plane.read("log", positions[-1])
    assert batch.head.epoch != positions[-1].epoch
    assert batch.cursor_id != positions[-1].record_id
    assert (await plane.changed(cursor)).everything
    assert len(await read_all(plane, "log")) == 6
    (later,) = await append(plane, "log", b"later")
    assert later.epoch == batch.head.epoch


async def test_a_restored_backup_shows_under_the_cursor(plane: NatsBackplane, client: Client, prefix: str) -> None:
    (first,) = await append(plane, "log", b"1")
    backup = await nats_backup.back_up(client, f"{prefix}_log")
    gone = (await append(plane, "log", b"2", b"3"))[-1]
    cursor = (await plane.changed(None)).cursor
    await nats_backup.delete(client, f"{prefix}_log")
    await nats_backup.restore(client, backup)
    after = await persist(lambda: append(plane, "log", b"two", b"three", b"four"))
    assert after[1].offset == gone.offset
    assert after[1].epoch == gone.epoch, "the restore brings the epoch back, so it alone would prove nothing"
    batch = await plane.read("log", gone)
    assert batch.cursor_id == after[1].record_id != gone.record_id
    assert (await plane.changed(cursor)).everything
    assert (await plane.read("log", first)).cursor_id == first.record_id


async def test_message_ids_outlive_compaction_and_a_restart(make: Make, own_server: Nats) -> None:
    plane = make(SERVERS=own_server.url)
    append_id = new_id()
    before = await plane.append("log", append_id, 1, b"x")
    await append(plane, "log", b"y")
    await plane.compact("log", 10**9)
    own_server.restart()
    assert await persist(lambda: plane.append("log", append_id, 1, b"x")) == before
    assert await read_all(plane, "log") == []


async def test_what_is_old_is_discarded(
    plane: NatsBackplane, client: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "DISCARD_AGE", timedelta(0))
    positions = await append(plane, "log", *(b"%d" % number for number in range(10)))
    last = await plane.append("log", new_id(), 5, b"five")
    assert await plane.compact("log", positions[5].offset) == positions[5].offset
    stream = client.jetstream()
    assert (
        await stream.stream_info(f"{prefix}_log")
    ).state.messages == 1 + 4 + 1  # the metadata, 6 to 9, and the five
    await plane.compact("log", last.offset - 1)  # inside the pack
    assert (await stream.stream_info(f"{prefix}_log")).state.messages == 1 + 1
    await plane.compact("log", last.offset)
    assert (await stream.stream_info(f"{prefix}_log")).state.messages == 1
    assert (await plane.head("log")) == (last, last)
    (later,) = await append(plane, "log", b"later")
    assert await read_all(plane, "log") == [(later.offset, b"later")]
