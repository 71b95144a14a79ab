"""A sweep costs what moved: not what an open transaction elsewhere, or another server's ids, make look as if it had."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.backplanes.conftest import Make
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres.connection import Connection, open_connection
from via_state.testing.conformance.harness import append

KEYS = [f"key-{number}" for number in range(30)]


@pytest_asyncio.fixture
async def elsewhere(make: Make) -> AsyncIterator[Connection]:
    """Somebody else in the same database."""
    await make().head("log")
    connection = await open_connection(POSTGRES_ALIAS, 5.0)
    yield connection
    await connection.close()


async def write_all(plane: PostgresBackplane) -> None:
    for key in KEYS:
        await append(plane, key, b"x")
        await plane.cas(key, None, b"v")


async def test_while_a_transaction_is_open_a_key_that_moved_is_seen_once(
    plane: PostgresBackplane, elsewhere: Connection
) -> None:
    await append(plane, "late", b"x")
    await plane.cas("late", None, b"v")
    cursor = (await plane.changed(None)).cursor
    async with elsewhere.transaction():
        for table in ("via_state_log", "via_state_cell"):
            statement = (
                f"UPDATE {table} SET xid = pg_current_xact_id()::text::bigint WHERE key = 'late' AND prefix = %s"
            )
            assert (await elsewhere.execute(statement, (plane.options["PREFIX"],))).rowcount == 1
        await write_all(plane)
        seen = await plane.changed(cursor)
        assert set(seen.logs) == set(seen.cells) == set(KEYS)
        for _ in range(3):
            seen = await plane.changed(seen.cursor)
            assert (seen.logs, seen.cells, seen.everything) == ({}, {}, False)
    seen = await plane.changed(seen.cursor)
    assert set(seen.logs) == set(seen.cells) == {"late"}, "a commit that comes late is seen all the same"
    seen = await plane.changed(seen.cursor)
    assert (seen.logs, seen.cells) == ({}, {})


async def test_rows_with_the_ids_of_another_server_are_not_looked_at_by_each_sweep(
    plane: PostgresBackplane, elsewhere: Connection
) -> None:
    """As a logical restore leaves them."""
    await write_all(plane)
    for table in ("via_state_log", "via_state_cell"):
        statement = f"UPDATE {table} SET xid = xid + 1000000000000 WHERE prefix = %s"
        assert (await elsewhere.execute(statement, (plane.options["PREFIX"],))).rowcount == len(KEYS)
    seen = await plane.changed((await plane.changed(None)).cursor)
    assert (seen.logs, seen.cells, seen.everything) == ({}, {}, False)
    (position,) = await append(plane, KEYS[0], b"y")
    revision = await plane.cas(KEYS[1], (await plane.load_many(KEYS))[KEYS[1]].revision, b"w")
    seen = await plane.changed(seen.cursor)
    assert {key: head.position for key, head in seen.logs.items()} == {KEYS[0]: position}
    assert seen.cells == {KEYS[1]: revision}
