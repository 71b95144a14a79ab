"""Headers of messages are read as nats-py reads them, whatever else is installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nats.aio import client as nats_client
from nats.aio.client import Client

from tests.backplanes.conftest import MakeNats
from via_state.backplanes.nats.headers import headers_of, read_headers
from via_state.core.records import GENESIS
from via_state.testing.conformance.harness import new_id

BLOCKS = [
    b"NATS/1.0\r\nNats-Msg-Id: a.b\r\nVia-Count: 7\r\n\r\n",
    b"NATS/1.0\r\nNo-Space:x\r\nTab:\ty\r\nEmpty:\r\nTwice: 1\r\nTwice: 2\r\n\r\n",
    b"NATS/1.0\r\nColon: a:b: c\r\nMime: =?utf-8?q?x=20y?=\r\nUnicode: caf\xc3\xa9\r\nBytes: \xff\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 404 Message Not Found\r\n\r\n",
    b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 12\r\n\r\n",
    b"NATS/1.0\r\nStatus: mine\r\nno header\r\n\r\n",
]


@pytest.mark.parametrize("block", BLOCKS)
async def test_headers_are_those_that_nats_py_reads(block: bytes) -> None:
    theirs = await Client()._process_headers(block)
    assert {name: value for name, value in headers_of(block).items() if value or name != "Description"} == theirs


async def test_a_mail_parser_that_is_installed_changes_no_header(
    make_nats: MakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nats-py takes fast-mail-parser where it finds it, which gives lists."""

    def parse_email(block: bytes) -> SimpleNamespace:
        found: dict[str, list[str]] = {}
        for line in block.decode().splitlines():
            name, _, value = line.partition(": ")
            found.setdefault(name, []).append(value)
        return SimpleNamespace(headers=found)

    monkeypatch.setattr(nats_client, "parse_email", parse_email)
    plane = make_nats()
    last = await plane.append("log", new_id(), 2, b"[1,2]")
    batch = await plane.read("log", GENESIS, 10)
    assert (batch.head, [pack.count for pack in batch.packs]) == (last, [2])


async def test_the_nats_py_that_is_installed_takes_it() -> None:
    client = Client()
    read_headers(client)
    assert await client._process_headers(BLOCKS[0]) == {"Nats-Msg-Id": "a.b", "Via-Count": "7"}
    assert "_process_headers" in vars(client)


async def test_a_nats_py_that_does_it_in_another_way_keeps_its_own() -> None:
    client = SimpleNamespace(_process_headers=lambda block: None)
    theirs = client._process_headers
    read_headers(client)  # type: ignore[arg-type]
    assert client._process_headers is theirs
