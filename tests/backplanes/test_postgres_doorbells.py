"""NOTIFY costs a commit: rings that come thick are gathered, and one that comes alone goes at once."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import AsyncConnection as Connection

from tests.backplanes.conftest import Make
from via_state.backplanes.postgres import doorbell
from via_state.backplanes.postgres.own_rings import OwnRings, latest
from via_state.core.records import Position
from via_state.testing.conformance.harness import append, eventually


async def test_rings_that_come_one_by_one_do_not_wait_for_each_other(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "INTERVAL", 3600.0)
    writer, reader = make(), make()
    heard: list[str | None] = []
    watch = reader.watch(heard.append)
    watch.add("log")
    await eventually(lambda: None in heard, "the listening")
    for number in range(4):
        heard.clear()
        await append(writer, "log", b"%d" % number)
        await eventually(lambda: "log" in heard, "the ring")
    await watch.close()


async def test_rings_that_come_thick_are_gathered(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "INTERVAL", 3600.0)
    notifier = make()._notifier
    sent: list[set[str]] = []

    async def execute(channels: list[str], payloads: list[str], through: object) -> None:
        sent.append(set(payloads))

    monkeypatch.setattr(notifier, "_execute", execute)
    for key in ("a", "b", "c"):
        notifier.ring(key)
    await eventually(lambda: len(sent) == 1, "the ring")
    notifier.ring("d")
    assert notifier._keys.keys() == {"d"}, "it waits for others"
    assert len(sent) == 1


async def test_one_ring_is_the_statement_that_the_server_plans_fastest(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    execute = Connection.execute

    async def noted(self: Connection, statement: Any, *rest: Any, **options: Any) -> Any:
        if "pg_notify" in str(statement):
            sent.append(rest[0])
        return await execute(self, statement, *rest, **options)

    monkeypatch.setattr(Connection, "execute", noted)
    plane = make()
    await append(plane, "log", b"0")
    await eventually(lambda: len(sent) == 1, "the ring")
    names = plane._notifier._code
    assert sent.pop() == (names.channel, names.of("log"))
    await plane.publish_many([("topic", b"one"), ("topic", b"two")])
    ((channels, payloads),) = sent
    assert channels == [names.messages] * len(payloads) == [names.messages] * 2


async def test_what_a_process_has_folded_already_is_not_rung_for(make: Make) -> None:
    """Its own append comes back as a doorbell. What others append, and what it drops, is rung for as ever."""
    mine, other = make(), make()
    heard: list[str | None] = []
    asked: list[tuple[str, Position]] = []

    def has(key: str, position: Position) -> bool:
        asked.append((key, position))
        return key == "folded"

    watch = mine.watch(heard.append)
    watch.has = has
    for key in ("folded", "not", "mark"):
        watch.add(key)
    await eventually(lambda: None in heard, "the listening")
    heard.clear()
    appended = [(await append(mine, key, b"1"))[0] for key in ("folded", "not")]
    await eventually(lambda: len(asked) == 2 and heard == ["not"], "the doorbells of its own appends")
    assert asked == list(zip(("folded", "not"), appended, strict=True))

    for change in (lambda: append(other, "folded", b"2"), lambda: mine.drop("folded")):
        heard.clear()
        await change()
        await eventually(lambda: "folded" in heard, "the doorbell")
    assert len(asked) == 2
    await watch.close()


def test_a_doorbell_that_rings_for_more_than_appends_says_no_position() -> None:
    one, two = Position("e", 4, "r4"), Position("e", 5, "r5")
    assert latest(one, two) == latest(two, one) == two
    assert latest(one, None) is latest(None, one) is latest(one, Position("f", 5, "r5")) is None


def test_a_doorbell_of_others_is_not_taken_for_its_own() -> None:
    """Another process may send the same names; a later one of its own rings for more."""
    rings, one, two = OwnRings(), Position("e", 4, "r4"), Position("e", 5, "r5")
    rings.begin(7)
    rings.send("name", {"name": one})
    assert (rings.through(7, "name"), rings.through(8, "name"), rings.through(7, "names")) == (
        {"name": one},
        {},
        {},
    )
    rings.send("name", {"name": two})
    assert rings.through(7, "name") == {"name": two}
    rings.send("name", {"name": None})
    assert rings.through(7, "name") == {}
    for number in range(100):
        rings.send(str(number), {"name": one})
    assert (rings.through(7, "0"), rings.through(7, "99")) == ({}, {"name": one})
    rings.begin(8)
    assert rings.through(8, "99") == {}
