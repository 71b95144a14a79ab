"""Streams on NATS: their settings and bounds, many keys, and strangers' messages."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from nats.aio.client import Client

from testproject.servers.nats import Nats
from tests.backplanes.conftest import MakeNats as Make
from via_state.backplanes.nats import NatsBackplane, cells, log
from via_state.backplanes.nats.backend import OVERHEAD
from via_state.exceptions import (
    AppendTooLarge,
    BackplaneUnavailable,
    CASConflict,
    ValueTooLarge,
)
from via_state.runtime.patience import send_by
from via_state.testing.conformance.harness import append, eventually, new_id, read_all
from via_state.testing.conformance.store import held


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
    begins = [first for first, _ in await read_all(plane, "log")][-log.SAMPLE // 2 :]
    rest = len(begins) - 1  # fewer than a sample
    assert rest <= await plane.count("log", begins[0], head) <= 3 * rest + 2


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
