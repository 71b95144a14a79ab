"""Threads of ours and a pool of Django's: who has nothing to do keeps no connection from the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InternalError, connections

from testproject.servers.postgres import Postgres
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.conftest import durable_shop as durable_shop
from tests.handlers.observed import recorder
from tests.handlers.world import Shop, until
from via_state.runtime.worker_threads import WorkerThreads


@pytest.fixture
def pooled(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An alias with a pool of two connections, for threads that are new."""
    like = connections.databases[POSTGRES_ALIAS]
    pool = {"min_size": 0, "max_size": 2, "timeout": 5.0}
    monkeypatch.setitem(like, "OPTIONS", {**like["OPTIONS"], "pool": pool})
    yield POSTGRES_ALIAS
    pools: Any = type(connections[POSTGRES_ALIAS])._connection_pools  # type: ignore[attr-defined]
    pools.pop(POSTGRES_ALIAS).close()


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_more_threads_than_pooled_connections_share_them(pooled: str) -> None:
    def ask(seconds: float) -> int:
        with connections[pooled].cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_sleep(%s)", [seconds])
            return int(cursor.fetchone()[0])

    async def work() -> list[int]:
        threads = WorkerThreads(6, "pooled", connections.close_all, idle=60.0)
        answers = await asyncio.gather(*(threads.run(ask, 0.05) for _ in range(18)))
        await threads.close()
        return answers

    assert asyncio.run(work()) == [1] * 18


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_a_pool_whose_sessions_write_nothing_any_more_gives_out_none_of_them_twice(pooled: str) -> None:
    """What survives a failover answers a health check, and is as good as any other one to a pool."""

    def write() -> None:
        with connections[pooled].cursor() as cursor:
            cursor.execute("DELETE FROM via_state_outboxlane WHERE lane = 1000")

    both = threading.Barrier(2)

    def stand_by() -> None:
        with connections[pooled].cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            both.wait(60)

    async def work() -> int:
        threads, failures = WorkerThreads(2, "pooled", connections.close_all, idle=60.0), 0
        await asyncio.gather(threads.run(stand_by), threads.run(stand_by))
        for _ in range(4):
            try:
                await threads.run(write)
            except InternalError:  # "cannot execute DELETE in a read-only transaction"
                failures += 1
        await threads.close()
        return failures

    assert asyncio.run(work()) == 1


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_a_worker_over_a_pool_of_sessions_that_write_nothing_finds_the_primary(
    pooled: str, durable_shop: Shop
) -> None:
    shop = durable_shop
    got = recorder(shop)
    worker = shop.work(concurrency=1)
    shop.place(1)
    until(lambda: got == [1])
    both = threading.Barrier(2)

    def stand_by() -> None:
        with connections[pooled].cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            both.wait(60)

    async def everywhere() -> None:
        await asyncio.gather(*(threads.run(stand_by) for threads in (worker._control, worker.threads)))

    shop.world.run(everywhere())
    shop.place(2)
    until(lambda: got == [1, 2])
    before = worker._lease_until
    until(lambda: worker._lease_until > before)
