"""Copies of the logs and cells of a world, and how they are put back in their place."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from testproject.servers import nats_backup
from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import World
from via_state.core.records import Pack


async def copy_of(world: World) -> Any:
    """The logs as they are now. On the pods' loop, as `put_back`."""
    if world.kind == "nats":
        client = (await world.inner._connections.get()).client
        return await nats_backup.back_up(client, f"{world.prefix}_log")
    if world.kind != "postgres":
        return copy.deepcopy(world.inner._logs)
    return await asyncio.to_thread(_rows_of, world.prefix)


async def put_back(world: World, saved: Any) -> None:
    """The logs as they were."""
    if world.kind == "nats":
        client = (await world.inner._connections.get()).client
        await nats_backup.delete(client, f"{world.prefix}_log")
        await nats_backup.restore(client, saved)
    elif world.kind != "postgres":
        world.inner._logs = copy.deepcopy(saved)
    else:
        await asyncio.to_thread(_write_rows, world.prefix, saved)


@contextmanager
def _one_moment() -> Iterator[CursorWrapper]:
    """A transaction that sees, and is seen as, one moment, as a backup does."""
    try:
        with transaction.atomic(using=POSTGRES_ALIAS), connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield cursor
    finally:
        connections[POSTGRES_ALIAS].close()


def _rows_of(prefix: str) -> Any:
    with _one_moment() as cursor:
        cursor.execute("SELECT * FROM via_state_log WHERE prefix = %s", [prefix])
        logs = cursor.fetchall()
        cursor.execute(
            "SELECT pack.* FROM via_state_pack pack JOIN via_state_log log ON log.id = pack.log_id WHERE log.prefix = %s",
            [prefix],
        )
        return logs, cursor.fetchall()


def _write_rows(prefix: str, saved: Any) -> None:
    with _one_moment() as cursor:
        cursor.execute("LOCK TABLE via_state_log, via_state_pack")
        cursor.execute(
            "DELETE FROM via_state_pack WHERE log_id IN (SELECT id FROM via_state_log WHERE prefix = %s)", [prefix]
        )
        cursor.execute("DELETE FROM via_state_log WHERE prefix = %s", [prefix])
        for table, rows_ in zip(("via_state_log", "via_state_pack"), saved, strict=True):
            for row in rows_:
                places = ", ".join(["%s"] * len(row))
                cursor.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE VALUES ({places})", row)


async def lose_rows(world: World, key: str, first: int, last: int) -> Any:
    """Remove the appends between two offsets, as somebody does who deletes rows; returns what `put_rows_back` takes."""
    if world.kind == "memory":
        log = world.inner._logs[key]
        gone = [pack for pack in log.packs if pack.last >= first and pack.first <= last]
        _set_packs(log, [pack for pack in log.packs if pack not in gone])
        return gone
    return await asyncio.to_thread(_delete_rows, world.prefix, key, first, last)


async def put_rows_back(world: World, key: str, rows: Any) -> None:
    """The appends that were removed."""
    if world.kind == "memory":
        log = world.inner._logs[key]
        _set_packs(log, sorted([*log.packs, *rows], key=lambda pack: pack.first))
    else:
        await asyncio.to_thread(_insert_rows, rows)


def _set_packs(log: Any, packs: list[Pack]) -> None:
    log.packs = packs


def _delete_rows(prefix: str, key: str, first: int, last: int) -> Any:
    with _one_moment() as cursor:
        cursor.execute(
            "DELETE FROM via_state_pack WHERE log_id IN (SELECT id FROM via_state_log WHERE prefix = %s AND key = %s) "
            "AND last >= %s AND first <= %s RETURNING *",
            [prefix, key, first, last],
        )
        return cursor.fetchall()


def _insert_rows(rows: Any) -> None:
    with _one_moment() as cursor:
        for row in rows:
            cursor.execute("INSERT INTO via_state_pack VALUES (%s, %s, %s, %s, %s, %s)", row)


async def copy_of_cells(world: World) -> Any:
    """The cells as they are now. On the pods' loop, as `put_cells_back`."""
    if world.kind == "nats":
        client = (await world.inner._connections.get()).client
        return await nats_backup.back_up(client, f"KV_{world.prefix}_cells")
    if world.kind != "postgres":
        number = next(world.inner._revs)
        world.inner._revs = itertools.count(number)
        return dict(world.inner._cells), number
    return await asyncio.to_thread(_cells_of, world.prefix)


async def put_cells_back(world: World, saved: Any) -> None:
    """The cells as they were, with the counter of their revisions."""
    if world.kind == "nats":
        client = (await world.inner._connections.get()).client
        await nats_backup.delete(client, f"KV_{world.prefix}_cells")
        await nats_backup.restore(client, saved)
    elif world.kind != "postgres":
        cells, number = saved
        world.inner._cells, world.inner._revs = dict(cells), itertools.count(number)
    else:
        await asyncio.to_thread(_write_cells, world.prefix, saved)


def _cells_of(prefix: str) -> Any:
    with _one_moment() as cursor:
        cursor.execute("SELECT * FROM via_state_cell WHERE prefix = %s", [prefix])
        cells = cursor.fetchall()
        cursor.execute("SELECT last_value FROM via_state_rev")
        return cells, cursor.fetchone()[0]


def _write_cells(prefix: str, saved: Any) -> None:
    """As a dump is restored: into an empty table."""
    cells, number = saved
    with _one_moment() as cursor:
        cursor.execute("TRUNCATE via_state_cell")
        cursor.execute("SELECT setval('via_state_rev', %s)", [number])
        for row in cells:
            cursor.execute(f"INSERT INTO via_state_cell VALUES ({', '.join(['%s'] * len(row))})", row)
