"""What somebody else put among our messages and rows costs no other key anything: it is skipped, counted, logged once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import nats as nats_py
import pytest
import pytest_asyncio
from nats.aio.client import Client
from prometheus_client import REGISTRY

from testproject.servers.nats import Nats
from tests.backplanes.conftest import Make
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.nats.tokens import is_ours, key_of, token_of
from via_state.exceptions import BackplaneRefused
from via_state.testing.conformance.harness import append

#: Ends of subjects that are not how we write a key.
SUBJECTS = ["foo=bar", "=ZZ", "=FF", "a=61", "x~y", "x~" + "0" * 40, "a=", "=C3=28", "é=00"]


@pytest_asyncio.fixture
async def client(nats: Nats) -> AsyncIterator[Client]:
    connection = await nats_py.connect(nats.url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def plane(nats: Nats) -> AsyncIterator[NatsBackplane]:
    backplane = NatsBackplane({"SERVERS": nats.url, "PREFIX": uuid.uuid4().hex})
    await backplane.head("log")
    yield backplane
    await backplane.close()


def counted(server: str = "NATS") -> float:
    return REGISTRY.get_sample_value("via_strangers_total", {"server": server}) or 0.0


async def send(client: Client, subject: str, data: bytes, headers: bytes = b"") -> None:
    """With headers of any bytes, which nats-py would not send."""
    inbox = client.new_inbox()
    answer = await client.subscribe(inbox)
    block = b"NATS/1.0\r\n" + headers + b"\r\n"
    line = f"HPUB {subject} {inbox} {len(block)} {len(block) + len(data)}\r\n".encode()
    await client._send_command(line + block + data + b"\r\n")
    await client._flush_pending()
    message = await answer.next_msg(5)
    assert b'"seq"' in message.data, message.data


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_subject_that_is_not_ours_is_skipped_by_sweeps_and_lists(
    plane: NatsBackplane, client: Client, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = plane.options["PREFIX"]
    cursor, before = (await plane.changed(None)).cursor, counted()
    for start in (f"$KV.{prefix}_cells.", f"{prefix}.log.", f"{prefix}.meta."):
        await send(client, start + subject, b"x")
    await append(plane, "log", b"1")
    revision = await plane.cas("cell", None, b"v")
    changes = await plane.changed(cursor)
    assert set(changes.logs) == {"log"}
    assert changes.cells == {"cell": revision}
    assert set(await plane.cells()) == {"cell"}
    assert set(await plane.logs()) == {"log"}
    assert counted() >= before + 3
    told = [one for one in caplog.messages if "did not write" in one]
    assert told
    assert len(told) == len(set(told))
    seen = len(told)
    assert (await plane.changed(cursor)).cells == {"cell": revision}
    assert len([one for one in caplog.messages if "did not write" in one]) == seen


@pytest.mark.parametrize(
    "headers",
    [
        b"Via-Expires-In: soon\r\n",
        b"Via-Expires-In: 1e400\r\n",
        b"Via-Expires-In: nan\r\n",
        b"Via-Write-Id: \xff\xfe\r\n",
        b"\xff\xfe: x\r\n",
        b"no colon\r\n",
        b"Status: 404\r\n",
        b"Nats-Msg-Id: \xff\r\nVia-Count: many\r\n",
    ],
    ids=repr,
)
async def test_headers_that_are_not_ours_fail_no_other_key(
    plane: NatsBackplane, client: Client, headers: bytes
) -> None:
    prefix = plane.options["PREFIX"]
    (first,) = await append(plane, "log", b"1")
    cursor = (await plane.changed(None)).cursor
    await send(client, f"$KV.{prefix}_cells.theirs", b"x", headers)
    await send(client, f"{prefix}.log.log", b"x", headers)
    (last,) = await append(plane, "log", b"2")
    revision = await plane.cas("ours", None, b"v")
    changes = await plane.changed(cursor)
    assert changes.cells["ours"] == revision
    assert changes.logs["log"].position == last
    assert {key: cell.data for key, cell in (await plane.load_many(["theirs", "ours"])).items()} == {
        "theirs": b"x",
        "ours": b"v",
    }
    assert set(await plane.cells()) == {"theirs", "ours"}
    assert [pack.data for pack in (await plane.read("log", first)).packs][-1] == b"2"
    assert await plane.prune() == 0


async def test_an_entry_that_is_not_ours_refuses_its_own_log_only(plane: NatsBackplane, client: Client) -> None:
    prefix = plane.options["PREFIX"]
    cursor = (await plane.changed(None)).cursor
    await send(client, f"{prefix}.meta.theirs", b"no JSON")
    await append(plane, "log", b"1")
    assert set((await plane.changed(cursor)).logs) == {"log"}
    assert set(await plane.logs()) == {"log"}
    with pytest.raises(BackplaneRefused, match="none of ours"):
        await plane.head("theirs")


def test_tokens_are_ours_as_we_write_them() -> None:
    for key in ("hits", "room.7 é", ".a..b.", "x~y", "ü" * 300, "a=b", "*", ">"):
        assert is_ours(token_of(key)), key
        assert key_of(token_of(key)) in (key, None)
    assert [one for one in SUBJECTS if is_ours(one)] == ["x~" + "0" * 40], "only its header says whose that is"


async def test_on_postgresql_times_that_are_not_ours_fail_no_other_cell(make: Make) -> None:
    plane = make()
    cursor, before = (await plane.changed(None)).cursor, counted("PostgreSQL")
    for key in ("never", "old", "ours"):
        await plane.cas(key, None, b"v")
    assert await rows(plane, "expires = 'infinity' WHERE key = 'never'") == 1
    assert await rows(plane, "written = '-infinity', key = '' WHERE key = 'old'") == 1
    found = await plane.load_many(["never", "ours"])
    assert {key: (cell.ttl, cell.age < 60) for key, cell in found.items()} == {
        "never": (None, True),
        "ours": (None, True),
    }
    assert set(await plane.cells()) == set((await plane.changed(cursor)).cells) == {"never", "ours"}
    assert counted("PostgreSQL") == before + 1


async def rows(plane: Any, change: str) -> int:
    async with plane._connections.use(write=True) as connection:
        statement = f"UPDATE via_state_cell SET {change} AND prefix = %s"
        return int((await connection.execute(statement, (plane.options["PREFIX"],))).rowcount)
