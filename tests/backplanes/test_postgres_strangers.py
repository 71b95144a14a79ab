"""What a role that may connect to the database, and nothing else, learns and does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from django.db import connections
from django.test import override_settings

from testproject.servers.postgres import Postgres
from tests.backplanes.conftest import Make
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres.code import Code, codes
from via_state.backplanes.postgres.doorbell import PAUSE
from via_state.backplanes.postgres.messages import ID
from via_state.testing.conformance.harness import append, eventually
from via_state.testing.conformance.messages import hears

SESSION = "session.profile.7f3a-the-id-of-a-session"


@pytest_asyncio.fixture
async def stranger(postgres: Postgres) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A role of another application on the same server, without any grant."""
    given = connections[POSTGRES_ALIAS].get_connection_params()
    where: dict[str, Any] = {name: given[name] for name in ("host", "port", "dbname")}
    login: dict[str, Any] = {name: given[name] for name in ("user", "password") if name in given}
    async with await psycopg.AsyncConnection.connect(**where, **login, autocommit=True) as owner:
        await owner.execute("DROP ROLE IF EXISTS stranger")
        await owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'strange'")
    role: dict[str, Any] = {"user": "stranger", "password": "strange"}
    async with await psycopg.AsyncConnection.connect(**where, **role, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("table", ["log", "pack", "cell"])
async def test_a_role_without_grants_can_not_read_the_tables(
    stranger: psycopg.AsyncConnection[Any], table: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await stranger.execute(f"SELECT * FROM via_state_{table}")


async def test_a_role_without_grants_hears_no_key_and_no_channel_of_a_known_name(
    make: Make, prefix: str, stranger: psycopg.AsyncConnection[Any]
) -> None:
    """Not even where it knows the channel, as nobody does without SECRET_KEY."""
    code = codes(prefix)[0]
    guess = "via_state_" + hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()
    for channel in (guess, f"via_state_{prefix}", code.channel):
        await stranger.execute(f'LISTEN "{channel}"')
    plane = make()
    await append(plane, SESSION, b"x")
    await plane.cas(f"{SESSION}.cell", None, b"x")
    heard = [one async for one in stranger.notifies(timeout=10, stop_after=1)]
    assert {one.channel for one in heard} == {code.channel}
    assert not any(word in one.payload for one in heard for word in ("session", "profile", SESSION))
    assert code.channel != Code("another key", prefix).channel


async def test_a_stranger_does_not_make_a_process_look(
    make: Make, prefix: str, stranger: psycopg.AsyncConnection[Any]
) -> None:
    """What it makes up is ignored; what it heard and says again is heard, and pauses follow."""
    plane, rung = make(), list[str | None]()
    plane.watch(rung.append).add("log")
    await eventually(lambda: rung == [None], "listening")
    code = codes(prefix)[0]
    for payload in ("", "[]", '["log"]', "log", "x" * 16, "x" * 5000, code.of("other")):
        await stranger.execute("SELECT pg_notify(%s, %s)", (code.channel, payload))
    await stranger.execute("SELECT pg_notify(%s, %s)", (code.channel, code.of("log")))
    await eventually(lambda: rung[-1] == "log", "the last of them")
    assert rung == [None, "log"]
    rung.clear()
    started = time.monotonic()
    for _ in range(300):
        await stranger.execute("SELECT pg_notify(%s, %s)", (code.channel, code.everything))
    await stranger.execute("SELECT pg_notify(%s, %s)", (code.channel, code.of("log")))
    await eventually(lambda: "log" in rung, "the last of them")
    assert 1 <= rung.count(None) <= 2 + (time.monotonic() - started) / PAUSE
    await eventually(lambda: rung[-1] is None, "the ring for those of the last pause")


async def test_what_a_stranger_makes_up_is_no_message(
    make: Make, prefix: str, stranger: psycopg.AsyncConnection[Any]
) -> None:
    """Nor does it spoil one of ours. That a stranger can't know the channel is another matter: here it does."""
    plane, heard = make(), list[bytes]()
    plane.hear("topic", heard.append)
    await hears(plane, heard, plane)
    code = codes(prefix)[0]
    topic = code.of_topic("topic")
    for payload in (
        "",
        "x" * 5000,
        topic,
        topic + "m" * ID + "zz01",
        topic + "m" * ID + "0001not base64",
        topic + "m" * ID + "0101" + "AAAA",  # the second of one
        topic + "m" * ID + "0002" + "AAAA",  # the first of two, whose second never comes
        topic + "m" * ID + "0000" + "AAAA",
        code.of_topic("unheard") + "m" * ID + "0001" + "AAAA",
    ):
        await stranger.execute("SELECT pg_notify(%s, %s)", (code.messages, payload))
    await plane.publish("topic", b"ours" * 5000)
    await eventually(lambda: b"ours" * 5000 in heard, "a message of ours")
    assert heard == [b"ours" * 5000]


async def test_a_first_ring_for_all_is_heard_at_once_and_those_of_a_pause_as_one(make: Make) -> None:
    plane, rung = make(), list[str | None]()
    plane.watch(rung.append)
    await eventually(lambda: rung == [None], "listening")
    await eventually(lambda: plane._listener._pause is None, "the end of the pause")
    for _ in range(5):
        plane._listener._rang_for_all()
    assert rung == [None, None]
    await eventually(lambda: len(rung) == 3 and plane._listener._pause is None, "the others, together")


async def test_a_process_hears_those_that_still_have_the_key_before(make: Make) -> None:
    """A rotation of SECRET_KEY: until all have the new one, some doorbells are lost, which costs latency."""
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        before, old = make(), list[str | None]()
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        after, new = make(), list[str | None]()
    before.watch(old.append).add("log")
    after.watch(new.append).add("log")
    await eventually(lambda: old == new == [None], "listening")
    await append(before, "log", b"x")
    await eventually(lambda: "log" in old and "log" in new, "both hear the old key")
    old.clear()
    new.clear()
    await append(after, "log", b"y")
    await eventually(lambda: "log" in new, "the new one hears itself")
    await append(before, "log", b"z")
    await eventually(lambda: "log" in old, "the old one hears itself")
    assert old.count("log") == 1


async def test_watched_no_more_in_any_code(make: Make) -> None:
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        plane = make()
    watch = plane.watch(lambda key: None)
    watch.add("log")
    watch.discard("log")
    watch.discard("never added")
    assert watch._keys == {}  # type: ignore[attr-defined]
