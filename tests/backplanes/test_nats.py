"""NATS JetStream: the contract, on a real server; and what becomes of it when the server or its streams go away."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

import nats as nats_py
import pytest
import pytest_asyncio
from django.conf import settings
from nats.aio.client import Client

from testproject.servers import nats_backup
from testproject.servers.nats import Nats
from testproject.servers.proxy import Proxy
from tests.backplanes.cutting import append_while_cut, persist, publish_while_cut
from tests.conftest import server_folder
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane, cells, log
from via_state.backplanes.nats.backend import OVERHEAD
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.log_meta import Entries
from via_state.core.records import GENESIS
from via_state.exceptions import (
    AppendTooLarge,
    BackplaneUnavailable,
    CASConflict,
    Closed,
    OutcomeUnknown,
    ValueTooLarge,
)
from via_state.runtime.patience import send_by
from via_state.testing.conformance import BackplaneConformance
from via_state.testing.conformance.harness import append, eventually, new_id, read_all
from via_state.testing.conformance.store import held

T = TypeVar("T")
#: Makes a backplane over the test's streams; what is given replaces options.
Make: TypeAlias = Callable[..., NatsBackplane]


@pytest.fixture
def prefix() -> str:
    """Each test has streams of its own."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture
async def make(nats: Nats, prefix: str) -> AsyncIterator[Make]:
    """Makes backplanes, and closes them after the test."""
    made: list[NatsBackplane] = []

    def make(**options: object) -> NatsBackplane:
        made.append(NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix, **options}))
        return made[-1]

    yield make
    for plane in made:
        await plane.close()


@pytest_asyncio.fixture
async def plane(make: Make) -> NatsBackplane:
    """A backplane with the default options."""
    return make()


@pytest_asyncio.fixture
async def client(nats: Nats) -> AsyncIterator[Client]:
    """An operator at the server."""
    connection = await nats_py.connect(nats.url)
    yield connection
    await connection.close()


@pytest.fixture
def own_server() -> Iterator[Nats]:
    """A server that a test may stop."""
    with server_folder() as folder:
        server = Nats(folder / "nats")
        server.start()
        yield server
        server.stop()


class TestNatsBackplane(BackplaneConformance):
    @pytest.fixture(autouse=True)
    def server(self, nats: Nats, prefix: str) -> None:
        self.options = {"SERVERS": nats.url, "PREFIX": prefix}

    def make(self) -> Backplane:
        return NatsBackplane(self.options)

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """As if a backup was restored that had the log's entry and none of its records."""
        name = f"{self.options['PREFIX']}_log"
        connection = await nats_py.connect(self.options["SERVERS"])
        try:
            stream = connection.jetstream()
            config = (await stream.stream_info(name)).config
            entry = await stream.get_msg(name, seq=1)
            await nats_backup.delete(connection, name)
            await stream.add_stream(config)
            await stream.publish(entry.subject or "", entry.data or b"")
        finally:
            await connection.close()
        await append(plane, key, b"another", b"history")


# The network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cut_connections_neither_lose_nor_double_appends(make: Make, nats_proxy: Proxy, seed: int) -> None:
    plane = make(SERVERS=f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}", TIMEOUT=2.0)
    await append_while_cut(plane, nats_proxy, seed)


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
    append_id, load = new_id(), Entries.load

    async def unreachable(self: Entries, link: Connection, key: str) -> None:
        raise BackplaneUnavailable("cut")

    monkeypatch.setattr(Entries, "load", unreachable)
    with pytest.raises(OutcomeUnknown):
        await plane.append("log", append_id, 1, b"y")
    monkeypatch.setattr(Entries, "load", load)
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
    ).state.messages == 1 + 4 + 1  # the entry, 6 to 9, and the five
    await plane.compact("log", last.offset - 1)  # inside the pack
    assert (await stream.stream_info(f"{prefix}_log")).state.messages == 1 + 1
    await plane.compact("log", last.offset)
    assert (await stream.stream_info(f"{prefix}_log")).state.messages == 1
    assert (await plane.head("log")) == (last, last)
    (later,) = await append(plane, "log", b"later")
    assert await read_all(plane, "log") == [(later.offset, b"later")]


# Settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"max_age": 3600.0}, "max_age"),
        ({"max_msgs": 1000, "discard": "old"}, "max_msgs"),
        ({"max_bytes": 100000, "discard": "old"}, "max_bytes"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject"),
        ({"retention": "workqueue"}, "retention"),
        ({"duplicate_window": 1.0}, "duplicate_window"),
        ({"allow_direct": False}, "allow_direct"),
        ({"no_ack": True}, "no_ack"),
        ({"republish": None}, "republish"),
        ({"subjects": ["other.>"]}, "subjects"),
        ({"deny_purge": True}, "purged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_stream_that_would_lose_what_it_is_given_is_refused(
    make: Make, client: Client, prefix: str, setting: dict[str, Any], words: str
) -> None:
    stream = client.jetstream()
    await (first := make()).append("log", new_id(), 1, b"x")
    await first.close()
    config = (await stream.stream_info(f"{prefix}_log")).config
    await stream.delete_stream(f"{prefix}_log")
    theirs = await stream.add_stream(config.evolve(**setting))
    plane = make()
    with pytest.raises(BackplaneUnavailable, match=f"{prefix}_log.*{words}"):
        await plane.append("log", new_id(), 1, b"x")
    found = await stream.stream_info(f"{prefix}_log")
    assert (found.config, found.state.messages) == (theirs.config, 0), "nothing was changed or written"


async def test_settings_that_change_under_a_running_process_stop_its_writes(
    plane: NatsBackplane, client: Client, prefix: str
) -> None:
    await append(plane, "log", b"x")
    stream = client.jetstream()
    config = (await stream.stream_info(f"{prefix}_log")).config
    await stream.update_stream(config.evolve(max_age=3600.0))
    with pytest.raises(BackplaneUnavailable, match="max_age"):
        await plane.changed(None)
    with pytest.raises(BackplaneUnavailable, match="max_age"):
        await plane.append("log", new_id(), 1, b"y")
    await stream.update_stream(config)
    await append(plane, "log", b"y")


async def test_an_operators_settings_stay(make: Make, client: Client, prefix: str) -> None:
    await (first := make()).append("log", new_id(), 1, b"x")
    await first.close()
    stream = client.jetstream()
    config = (await stream.stream_info(f"{prefix}_log")).config
    theirs = config.evolve(
        description="ours", max_bytes=10_000_000, discard="new", duplicate_window=300.0, max_msg_size=500_000
    )
    await stream.update_stream(theirs)
    before = (await stream.stream_info(f"{prefix}_log")).config
    plane = make()
    assert [data for _, data in await read_all(plane, "log")] == [b"x"]
    await append(plane, "log", b"y")
    assert plane.max_append_bytes == 500_000 - OVERHEAD
    assert len(await append(plane, "log", b"x" * plane.max_append_bytes)) == 1
    with pytest.raises(AppendTooLarge):
        await append(plane, "log", b"x" * (plane.max_append_bytes + 1))
    assert (await stream.stream_info(f"{prefix}_log")).config == before


async def test_what_is_larger_than_a_message_may_be_is_refused_and_the_connection_stays(
    make: Make, own_server: Nats
) -> None:
    """Also by the first verb of a process, which has not heard yet how much the server takes."""
    (own_server.folder / "small.conf").write_text("max_payload: 65536")
    own_server.stop()
    own_server._more = ["-c", str(own_server.folder / "small.conf")]
    own_server.start()
    for size in (70_000, 65_536 - 100):  # the second one is too large with its headers only
        plane = make(SERVERS=own_server.url)
        with pytest.raises(ValueTooLarge, match=str(65_536 - OVERHEAD)):
            await plane.cas("cell", None, b"x" * size)
        link = plane._connections._connection
        with pytest.raises(AppendTooLarge):
            await make(SERVERS=own_server.url).append("log", new_id(), 1, b"x" * size)
        revision = await plane.cas(f"cell {size}", None, b"x" * plane.max_value_bytes)
        assert held(await plane.load(f"cell {size}")) == (b"x" * plane.max_value_bytes, revision)
        assert plane._connections._connection is link


async def test_an_operators_limit_of_a_value_is_kept(make: Make, client: Client, prefix: str) -> None:
    await (first := make()).cas("cell", None, b"x")
    await first.close()
    stream = client.jetstream()
    config = (await stream.stream_info(f"KV_{prefix}_cells")).config
    await stream.update_stream(config.evolve(max_msg_size=50_000))
    plane = make()
    with pytest.raises(ValueTooLarge):
        await plane.cas("large", None, b"x" * 50_000)
    assert plane.max_value_bytes == 50_000 - OVERHEAD
    await plane.cas("large", None, b"x" * plane.max_value_bytes)
    assert plane.max_append_bytes > 500_000


async def test_a_full_stream_takes_no_more_and_loses_nothing(
    plane: NatsBackplane, client: Client, prefix: str
) -> None:
    await append(plane, "log", b"x")
    stream = client.jetstream()
    config = (await stream.stream_info(f"{prefix}_log")).config
    await stream.update_stream(config.evolve(max_bytes=5000, discard="new"))
    with pytest.raises(BackplaneUnavailable, match="maximum bytes exceeded"):
        await append(plane, "log", *[b"y" * 1000] * 10)
    await stream.update_stream(config)
    records = len(await read_all(plane, "log"))
    assert 1 < records < 10
    await append(plane, "log", b"z")
    assert len(await read_all(plane, "log")) == records + 1


async def test_prefixes_keep_projects_apart(make: Make, prefix: str) -> None:
    mine, theirs = make(), make(PREFIX=f"{prefix[:20]}-b")
    await append(mine, "log", b"mine")
    await mine.cas("cell", None, b"mine")
    assert await read_all(theirs, "log") == []
    assert await theirs.logs() == {}
    assert await theirs.load("cell") is None
    with pytest.raises(CASConflict):
        await mine.cas("cell", None, b"again")


async def test_strangers_messages_are_records_that_nobody_can_decode(
    plane: NatsBackplane, client: Client, prefix: str
) -> None:
    await append(plane, "log", b"x")
    stream = client.jetstream()
    await stream.publish(f"{prefix}.log.log", b"junk")
    await stream.publish(f"{prefix}.log.log", b"junk", headers={"Nats-Msg-Id": "mine", "Via-Count": "-5"})
    await stream.publish(f"{prefix}.log.other", b"junk")
    (last,) = await append(plane, "log", b"y")
    assert [data for _, data in await read_all(plane, "log")] == [b"x", b"junk", b"junk", b"y"]
    assert (await plane.head("log")).position == last
    assert set(await plane.logs()) == {"log"}
    await plane.changed(None)


async def test_many_keys_are_watched_without_a_consumer(plane: NatsBackplane, client: Client, prefix: str) -> None:
    rung: set[str | None] = set()
    watch = plane.watch(rung.add)
    keys = [f"many.{number}" for number in range(10_000)]
    for key in keys:
        watch.add(key)
    await eventually(lambda: None in rung, "the first ring", 60)
    info = await client.jetstream().stream_info(f"{prefix}_log")
    assert info.state.consumer_count == 0
    await append(plane, keys[0], b"x")
    await append(plane, keys[-1], b"x")
    await eventually(lambda: {keys[0], keys[-1]} <= rung, "two doorbells")
    assert len(rung) == 3
    await watch.close()


async def test_more_logs_than_fit_into_one_answer(plane: NatsBackplane) -> None:
    cursor = (await plane.changed(None)).cursor
    keys = {f"many.{number}" for number in range(1200)}
    await asyncio.gather(*(append(plane, key, b"x") for key in keys))
    assert set(await plane.logs(limit=5000)) == keys
    changes = await plane.changed(cursor)
    assert set(changes.logs) == keys
    assert not (await plane.changed(changes.cursor)).logs
    cells = await asyncio.gather(*(plane.cas(key, None, b"x") for key in keys))
    assert len(await plane.load_many(keys)) == len(cells) == 1200
    assert set((await plane.changed(changes.cursor)).cells) == keys


async def test_many_records_are_counted_by_the_first(plane: NatsBackplane) -> None:
    await asyncio.gather(
        *(plane.append("log", new_id(), 1 + number % 3, b"x") for number in range(3 * log.SAMPLE))
    )
    head = await plane.head("log")
    assert await plane.count("log", 0, head) == pytest.approx(6 * log.SAMPLE, rel=0.25)  # five sigma
    first = (await plane.read("log", GENESIS, limit=5 * log.SAMPLE)).packs[-1].last
    rest = sum(pack[0] > first for pack in await read_all(plane, "log"))
    assert rest < log.SAMPLE
    assert rest <= await plane.count("log", first, head) <= 3 * rest


async def test_expired_cells_are_found_part_by_part(plane: NatsBackplane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process never reads all of a large bucket at once."""
    monkeypatch.setattr(cells, "PART", 10)
    for number in range(55):
        await plane.cas(f"cell-{number}", None, b"x", ttl=0.001 if number % 2 else None)
    await eventually_absent(plane, "cell-53")
    assert await plane.prune() <= 5
    found = [await plane.prune() for _ in range(6)]
    assert sum(found) >= 20
    assert max(found) <= 5
    assert set(await plane.cells()) == {f"cell-{number}" for number in range(0, 55, 2)}
    assert [await plane.prune() for _ in range(6)] == [0] * 6


async def eventually_absent(plane: NatsBackplane, key: str) -> None:
    deadline = time.monotonic() + 10
    while await plane.load(key) is not None:
        assert time.monotonic() < deadline, f"{key} is still there"


def test_options_are_checked() -> None:
    assert NatsBackplane.check({}) == []
    assert NatsBackplane.check({"SERVERS": ["nats://a:1", "tls://b:2"], "REPLICAS": 3, "TLS": True}) == []
    wrong = {
        "SERVER": "nats://127.0.0.1:4222",
        "SERVERS": [],
        "PREFIX": "a.b",
        "REPLICAS": 2,
        "STORAGE": "disk",
        "TIMEOUT": 0,
        "CONNECT_TIMEOUT": "5",
        "CREDENTIALS": "/nowhere",
        "TLS": {"CA": "/nowhere"},
        "INBOX_PREFIX": "_INBOX.>",
    }
    found = NatsBackplane.check(wrong)
    assert len(found) == len(wrong)
    assert all(
        any(repr(name) in one.msg or repr(value) in one.msg for one in found) for name, value in wrong.items()
    )
    assert json.dumps([one.hint for one in found])


async def test_nobody_waits_for_a_connection_longer_than_for_the_write() -> None:
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    plane = NatsBackplane({"SERVERS": f"nats://127.0.0.1:{port}", "CONNECT_TIMEOUT": 60.0})
    try:
        async with asyncio.timeout(20):
            with (
                send_by(time.monotonic() + 0.1),
                pytest.raises(BackplaneUnavailable, match=r"not connected to within 0\.\d s\. Nothing was sent"),
            ):
                await plane.head("key")
    finally:
        await plane.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        silent.close()
