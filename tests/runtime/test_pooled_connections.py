"""Threads of ours and a pool of Django's: who has nothing to do keeps no connection from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from testproject.servers.postgres import Postgres
from tests.conftest import POSTGRES_ALIAS
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
