"""Restores of the PostgreSQL tables that were not one transaction: without constraints, so that a log is there twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.backplanes.conftest import Make
from tests.backplanes.test_postgres_compaction import sql
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.records import GENESIS
from via_state.exceptions import BackplaneUnavailable
from via_state.testing.conformance.harness import append, new_id, read_all

DROP = "ALTER TABLE via_state_log DROP CONSTRAINT via_state_log_key"
ADD = "ALTER TABLE via_state_log ADD CONSTRAINT via_state_log_key UNIQUE (prefix, key)"


@asynccontextmanager
async def unconstrained(plane: PostgresBackplane, prefix: str) -> AsyncIterator[None]:
    """The table of the logs lacks its constraint meanwhile."""
    await sql(plane, DROP)
    try:
        yield
    finally:
        await sql(plane, "DELETE FROM via_state_log WHERE prefix = %s", prefix)
        await sql(plane, ADD)


async def test_a_log_is_not_created_where_the_constraint_is_missing(plane: PostgresBackplane, prefix: str) -> None:
    async with unconstrained(plane, prefix):
        with pytest.raises(BackplaneUnavailable, match=r"A unique constraint .* is missing"):
            await append(plane, "log", b"x")
        assert await sql(plane, "SELECT count(*) FROM via_state_log WHERE prefix = %s", prefix) == [(0,)]


async def test_a_log_that_is_there_twice_is_neither_written_nor_read(
    plane: PostgresBackplane, prefix: str
) -> None:
    await append(plane, "log", b"1", b"2")
    await append(plane, "another", b"1")
    verbs: list[Callable[[], Awaitable[object]]] = [
        lambda: plane.append("log", new_id(), 1, b"3"),
        lambda: plane.read("log", GENESIS),
        lambda: plane.head("log"),
        lambda: plane.compact("log", 1),
        lambda: plane.drop("log"),
    ]
    async with unconstrained(plane, prefix):
        await sql(
            plane,
            "INSERT INTO via_state_log (prefix, key, epoch, last, last_index, floor, floor_record, xid) "
            "SELECT prefix, key, epoch, 0, -1, 0, '', xid FROM via_state_log WHERE prefix = %s AND key = 'log'",
            prefix,
        )
        for verb in verbs:
            with pytest.raises(BackplaneUnavailable, match="a log may be there twice"):
                await verb()
        found = "SELECT sum(last)::int, sum(floor)::int FROM via_state_log WHERE prefix = %s AND key = 'log'"
        assert await sql(plane, found, prefix) == [(2, 0)]
        assert await read_all(plane, "another") == [(1, b"1")]


async def test_logs_of_many_writers_at_the_same_time_begin_once(make: Make, prefix: str) -> None:
    planes = [make() for _ in range(4)]
    await asyncio.gather(*(append(plane, "log", b"x") for plane in planes for _ in range(4)))
    assert await sql(planes[0], "SELECT count(*) FROM via_state_log WHERE prefix = %s", prefix) == [(1,)]
