"""What listens and rings for a whole process outlives whatever happens to it: logged, and begun again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres import doorbell as postgres_doorbell
from via_state.testing.conformance.harness import append


@pytest.fixture(params=["memory", "postgres", "nats"])
def made(request: pytest.FixtureRequest) -> Backplane:
    prefix = uuid.uuid4().hex
    if request.param == "memory":
        return MemoryBackplane({})
    if request.param == "nats":
        return NatsBackplane({"PREFIX": prefix, "SERVERS": request.getfixturevalue("nats").url})
    request.getfixturevalue("postgres")
    return PostgresBackplane({"PREFIX": prefix, "DATABASE": POSTGRES_ALIAS})


@pytest_asyncio.fixture
async def plane(made: Backplane) -> AsyncIterator[Backplane]:
    yield made
    await made.close()


async def rung(plane: Backplane, heard: list[str | None]) -> None:
    """Append until that is heard."""
    deadline = time.monotonic() + 30
    while "log" not in heard:
        assert time.monotonic() < deadline, "nothing was heard"
        await append(plane, "log", b"x")
        await asyncio.sleep(0.02)


async def test_a_doorbell_that_raises_costs_no_other_watch_and_no_append(
    plane: Backplane, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str | None] = []

    def raises(key: str | None) -> None:
        raise KeyError("of a follower")

    watches = [plane.watch(raises), plane.watch(heard.append), plane.watch(raises)]
    for watch in watches:
        watch.add("log")

    await rung(plane, heard)
    heard.clear()
    await rung(plane, heard)
    assert "A doorbell failed where it was heard" in caplog.text
    assert "nobody expected" not in caplog.text
    for watch in watches:
        await watch.close()


@pytest.mark.parametrize("made", ["postgres", "nats"], indirect=True)
async def test_whoever_listens_first_leaves_nothing_of_a_context_to_those_who_hear(plane: Backplane) -> None:
    """One task listens for the whole process: it would be in the request of the first one for ever."""
    caller: ContextVar[str] = ContextVar("caller")
    heard: list[str | None] = []
    seen: set[str] = set()

    def hear(key: str | None) -> None:
        heard.append(key)
        seen.add(caller.get("nobody"))

    caller.set("somebody")
    watch = plane.watch(hear)
    watch.add("log")
    await rung(plane, heard)
    assert seen == {"nobody"}
    await watch.close()


@pytest.mark.parametrize("made", ["postgres", "nats"], indirect=True)
async def test_listening_begins_again_after_an_error_that_nobody_expects(
    plane: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listen, failures = plane._listener._listen, [KeyError("one"), KeyError("two")]

    async def fails_twice(connection: Any) -> None:
        if failures:
            raise failures.pop()
        await listen(connection)

    monkeypatch.setattr(plane._listener, "_listen", fails_twice)
    heard: list[str | None] = []
    plane.watch(heard.append).add("log")

    await rung(plane, heard)
    assert not failures
    assert "The listening for doorbells" in caplog.text


@pytest.mark.parametrize("made", ["postgres"], indirect=True)
async def test_doorbells_are_rung_again_after_an_error_that_nobody_expects(
    plane: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = plane._notifier._open
    failures = [ValueError("a file that is closed")]

    async def fails_once() -> Any:
        if failures:
            raise failures.pop()
        return await opened()

    monkeypatch.setattr(plane._notifier, "_open", fails_once)
    heard: list[str | None] = []
    plane.watch(heard.append).add("log")
    unretrieved: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unretrieved.append(context))

    await rung(plane, heard)
    assert not failures
    assert "in a way that nobody expected" in caplog.text
    await plane.close()
    assert unretrieved == []


async def test_a_cell_that_never_rests_rings_no_more_often_than_it_is_looked_at(
    postgres: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_doorbell, "CELL_INTERVAL", interval := 0.5)
    plane = PostgresBackplane({"PREFIX": uuid.uuid4().hex, "DATABASE": POSTGRES_ALIAS})
    try:
        heard: list[str | None] = []
        watch = plane.watch(heard.append)
        for key in ("cell", "log"):
            watch.add(key)
        await rung(plane, heard)
        heard.clear()
        began, revision = time.monotonic(), None
        for _ in range(50):
            revision = await plane.cas("cell", revision, b"x")
        took = time.monotonic() - began
        before = heard.count("cell")
        assert before <= 1 + took / interval
        async with asyncio.timeout(30):
            while heard.count("cell") == before:  # the last write is rung for, too
                await asyncio.sleep(0.01)
    finally:
        await plane.close()
