"""On NATS a read is one round where one server has the stream: it answers in the order of the requests, so what proves the packs is as new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.backplanes.conftest import MakeNats
from via_state.backplanes.nats import NatsBackplane, log
from via_state.backplanes.nats.api import Found, get_many
from via_state.backplanes.nats.connection import Connection
from via_state.core.records import GENESIS, Position
from via_state.testing.conformance.harness import new_id


@pytest.fixture
def plane(make_nats: MakeNats) -> NatsBackplane:
    return make_nats()


async def append(plane: NatsBackplane, key: str, count: int) -> Position:
    """The position of the last of so many records."""
    return await plane.append(key, new_id(), count, b"[" + b",".join([b"0"] * count) + b"]")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked for, by the last parts of the subjects; and when an answer to any of it is there."""
    found: list[str] = []
    publish, hear = Connection._publish, Connection._hear

    async def noted(self: Connection, subject: str, *rest: Any) -> None:
        found.append("DIRECT" if "DIRECT.GET" in subject else "LEADER" if "MSG.GET" in subject else subject)
        await publish(self, subject, *rest)

    async def heard(self: Connection, message: Any) -> None:
        found.append("answer")
        await hear(self, message)

    monkeypatch.setattr(Connection, "_publish", noted)
    monkeypatch.setattr(Connection, "_hear", heard)
    return found


async def test_what_follows_a_cursor_is_one_round_and_no_pack_is_fetched_as_proof(
    plane: NatsBackplane, asked: list[str]
) -> None:
    at = await append(plane, "log", 3)
    last = await append(plane, "log", 2)
    for after, records in ((GENESIS, 5), (at, 2), (last, 0)):
        asked.clear()
        batch = await plane.read("log", after, 1000)
        assert sum(pack.count for pack in batch.packs if pack.last > after.offset) == records
        assert batch.head == last
        assert asked[:2] == ["DIRECT", "DIRECT"], "before any answer"
        assert set(asked[2:]) == {"answer"}, "and nothing more"


async def test_a_cursor_that_is_not_proven_is_asked_of_the_leader(plane: NatsBackplane, asked: list[str]) -> None:
    at = await append(plane, "log", 3)
    asked.clear()
    batch = await plane.read("log", at._replace(record_id="another-0"), 1000)
    assert batch.cursor_id == at.record_id
    assert "LEADER" in asked


def relabelled(found: Found) -> Found:
    """As a mirror of the stream answers."""
    return found._replace(
        messages=[one._replace(headers={**one.headers, log.STREAM: "mirror"}) for one in found.messages]
    )


def broken_off(found: Found) -> Found:
    """As the server answers when the last message went while it was looked for."""
    return Found(found.messages[:1], 0, 0)


@pytest.mark.parametrize("answer", [relabelled, broken_off])
async def test_an_answer_that_proves_nothing_is_asked_for_again_of_the_leader(
    plane: NatsBackplane,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Found], Found],
) -> None:
    at = await append(plane, "log", 3)
    last = await append(plane, "log", 2)

    async def other(connection: Connection, stream: str, **which: Any) -> Found:
        found = await get_many(connection, stream, **which)
        return answer(found) if "multi_last" in which else found

    monkeypatch.setattr(log, "get_many", other)
    asked.clear()
    batch = await plane.read("log", at, 1000)
    assert (batch.head, batch.proves(at), batch.authoritative) == (last, True, True)
    assert asked.count("LEADER") == 2


async def test_a_compaction_between_two_reads_is_seen_in_one_round(plane: NatsBackplane) -> None:
    at = await append(plane, "log", 3)
    middle = await append(plane, "log", 2)
    last = await append(plane, "log", 2)
    await plane.compact("log", middle.offset)
    reads = {one: await plane.read("log", one, 1000) for one in (at, middle, last)}
    assert {batch.floor.offset for batch in reads.values()} == {middle.offset}
    assert reads[middle].proves(middle)
    assert reads[last].proves(last)
    assert not reads[at].proves(at)
    await plane.drop("log")
    assert (await plane.read("log", last, 1000)).head.epoch != last.epoch
