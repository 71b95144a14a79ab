"""A sweep costs what moved: not what an open transaction elsewhere, or another server's ids, make look as if it had."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio
from psycopg import AsyncClientCursor

from tests.backplanes.conftest import Make
from tests.conftest import POSTGRES_ALIAS
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres.changes import CHANGED, Cursor
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


async def test_after_a_restore_a_sweep_reads_few_pages_however_the_rows_were_written_since(
    plane: PostgresBackplane, elsewhere: Connection
) -> None:
    """On PostgreSQL 16 or newer, which has the indexes."""
    fills = {
        "via_state_cell": "prefix, key, data, rev, xid) SELECT %s, 'k' || n, '', 1, 1000000000000 + n",
        "via_state_log": "prefix, key, epoch, last, last_index, floor, floor_record, xid) "
        "SELECT %s, 'k' || n, gen_random_uuid(), 0, -1, 0, '', 1000000000000 + n",
    }
    pages = 0
    for table, columns in fills.items():
        await elsewhere.execute(
            f"INSERT INTO {table} ({columns} FROM generate_series(1, 10000) n", (plane.options["PREFIX"],)
        )
        # As a restore that makes the indexes at its end.
        await elsewhere.execute(f"REINDEX INDEX {table}_xid")
        await elsewhere.execute(
            f"UPDATE {table} SET xid = pg_current_xact_id()::text::bigint WHERE right(key, 1) = '7' AND prefix = %s",
            (plane.options["PREFIX"],),
        )
        await elsewhere.execute(f"VACUUM ANALYZE {table}")
        row = await (await elsewhere.execute(f"SELECT pg_relation_size('{table}') / 8192")).fetchone()
        assert row is not None
        pages += row[0]
    cursor = (await plane.changed(None)).cursor
    assert isinstance(cursor, Cursor)
    values = {
        "prefix": plane.options["PREFIX"],
        "source": cursor.source,
        "xmin": cursor.xmin,
        "snapshot": cursor.snapshot,
    }
    async with AsyncClientCursor(elsewhere) as asked:
        await asked.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {CHANGED}", values)
        ((found,),) = await asked.fetchall()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    assert pages > 300
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < pages / 3
    assert (await plane.changed(cursor)).cells == {}
