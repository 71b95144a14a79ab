"""Copies of the logs of a world, and what they were put back in its place."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from testproject.servers import nats_backup
from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import World


async def copy_of(world: World) -> Any:
    """The logs as they are now. On the pods' loop, as `put_back`."""
    if world.kind == "nats":
        client = (await world.inner._links.get()).client
        return await nats_backup.back_up(client, f"{world.prefix}_log")
    if world.kind != "postgres":
        return copy.deepcopy(world.inner._logs)
    return await asyncio.to_thread(_rows_of, world.prefix)


async def put_back(world: World, saved: Any) -> None:
    """The logs as they were."""
    if world.kind == "nats":
        client = (await world.inner._links.get()).client
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
