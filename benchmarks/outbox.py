"""How fast the outbox is relayed, and what it locks meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import time

import psycopg
from django.db.models.functions import Now

from benchmarks.harness import Benchmark
from benchmarks.nats import new_pod
from benchmarks.postgres import PACK, dsn
from benchmarks.state import Bench, Tick
from via_state.bookkeeping.database.outbox_lanes import lane_of
from via_state.bookkeeping.database.retention import hash_key
from via_state.conf import settings

RECORDS, MANY = 40_000, 10_000
runs = itertools.count(1_000_000)

HELD = """
SELECT (SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE c.relname LIKE 'via_state%' AND l.pid <> pg_backend_pid())
     + (SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND datname IS NOT NULL AND pid <> pg_backend_pid())
"""


def write(count: int, keys: int = 1) -> None:
    """What `append_on_commit` writes: records of so many keys in turn, committed together."""
    from via_state.models import OutboxRecord

    rows = [
        {
            "prefix": settings.PREFIX,
            "lane": lane_of(key),
            "key_hash": hash_key(key),
            "key": key,
            "created": Now(),
        }
        for key in (Bench.run.at(run=next(runs)).key for _ in range(keys))
    ]
    data = Bench.run.definition.spec().events.encode([Tick()])
    OutboxRecord.objects.bulk_create(
        (OutboxRecord(**rows[number % keys], count=1, data=data) for number in range(count)), batch_size=1000
    )


def relay(records: int = RECORDS, keys: int = 1) -> float:
    """Records of so many keys per second, from the commit until the outbox is empty."""
    pod = new_pod()
    try:
        write(1)
        pod.thread.call(pod.outbox.settle())
        write(records, keys)
        started = time.perf_counter()
        pod.thread.call(pod.outbox.settle())
        return records / (time.perf_counter() - started)
    finally:
        pod.close()


def append_packs() -> float:
    """Raw: the same records by `append_many`, without an outbox."""
    pod = new_pod()
    try:
        ticks = Bench.run.at(run=next(runs)).using(pod)
        ticks.append(Tick())
        started = time.perf_counter()
        for _ in range(RECORDS // PACK):
            ticks.append_many([Tick()] * PACK, wait=False)
        return RECORDS / (time.perf_counter() - started)
    finally:
        pod.close()


def held_while_frozen() -> int:
    """Locks on our tables, and transactions, seen at most while NATS is frozen and records wait to be relayed."""
    pid = int(os.environ["VIA_BENCH_NATS_PID"])
    pod = new_pod()
    try:
        write(1)
        pod.thread.call(pod.outbox.settle())
        os.kill(pid, signal.SIGSTOP)
        try:
            write(1000)
            time.sleep(0.5)  # for the relay to reach the server that does not answer
            with psycopg.connect(dsn(), autocommit=True) as connection:
                most = 0
                for _ in range(200):
                    (held,) = connection.execute(HELD).fetchone() or (0,)
                    most = max(most, held)
                    time.sleep(0.01)
        finally:
            os.kill(pid, signal.SIGCONT)
        return most
    finally:
        pod.close()


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    return [
        Benchmark(
            "outbox",
            "records/s",
            relay,
            append_packs,
            f"{RECORDS:,} records of one key, from their commit until they are on NATS; raw: append_many of {PACK}, without an "
            "outbox",
            rounds=3,
            seen=lambda: f"{held_while_frozen()} locks and transactions while NATS is frozen",
        )
    ]
