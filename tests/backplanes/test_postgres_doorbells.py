"""NOTIFY costs a commit: rings that come thick are gathered, and one that comes alone goes at once."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import AsyncConnection as Connection

from tests.backplanes.conftest import Make
from via_state.backplanes.postgres import doorbell
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

    async def execute(channels: list[str], payloads: list[str]) -> None:
        sent.append(set(payloads))

    monkeypatch.setattr(notifier, "_execute", execute)
    for key in ("a", "b", "c"):
        notifier.ring(key)
    await eventually(lambda: len(sent) == 1, "the ring")
    notifier.ring("d")
    assert notifier._keys == {"d"}, "it waits for others"
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
