"""Figures of snapshots and compaction: what they cost, and what they save."""

from __future__ import annotations

import asyncio
import functools
import itertools
import statistics
import threading
import time

import msgspec
import psycopg

from benchmarks.harness import Benchmark
from benchmarks.postgres import dsn, new_pod
from benchmarks.state import Bench, Record, Tick
from via_state.backplanes.postgres import PostgresBackplane
from via_state.pod.pod import Pod
from via_state.testing import pods

LONG, TAIL, PACK = 1_000_000, 500, 1000
OLD = 200_000  # records that are discarded, one in each pack
EVENTS = 500_000
STEADY = 60.0  # seconds
runs = itertools.count(1000)


# A start ----------------------------------------------------------------------------------------------------


@functools.cache
def _long(length: int = LONG) -> int:
    """A log of so many events and a few more, whose snapshot covers all but the last `TAIL`."""
    run = next(runs)
    pod = new_pod()
    ticks = Bench.kept.at(run=run).using(pod)
    for _ in range(length // PACK):
        last = ticks.append_many([Tick()] * PACK, wait=False)[-1]
    ticks.read(at_least=last, timeout=60)
    pod.thread.call(pod.snapshots.flush())
    pod.close()
    pod = new_pod()
    Bench.kept.at(run=run).using(pod).append_many([Tick()] * TAIL)
    pod.close()
    return run


def cold_start(length: int = LONG) -> float:
    """Milliseconds until a new pod, whose connections are up, gives the value of a long log."""
    run = _long(length)
    pod = new_pod()
    try:
        Bench.kept.at(run=-1).using(pod).read()
        started = time.perf_counter()
        assert Bench.kept.at(run=run).using(pod).read() == length + TAIL
        return (time.perf_counter() - started) * 1000
    finally:
        pod.close()


def select_snapshot_and_tail() -> float:
    """Raw: psycopg selecting the same snapshot and the same tail, msgspec decoding them."""
    key = Bench.kept.at(run=_long(LONG)).key
    decoder = msgspec.json.Decoder(list[Record])
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("SELECT 1")
        started = time.perf_counter()
        query = 'SELECT "offset", data FROM via_state_snapshot WHERE key = %s'
        ((offset, value),) = connection.execute(query, (key,), binary=True).fetchall()
        rows = connection.execute(
            "SELECT data FROM via_state_pack WHERE log_id = (SELECT id FROM via_state_log WHERE key = %s) AND first > %s "
            "ORDER BY first",
            (key, offset),
            binary=True,
        ).fetchall()
        assert msgspec.json.decode(value) + sum(len(decoder.decode(data)) for (data,) in rows) == LONG + TAIL
        return (time.perf_counter() - started) * 1000


# What they cost ---------------------------------------------------------------------------------------------


def converge(name: str, durable: bool) -> float:
    """Events per second, appended and folded by one pod."""
    declared = getattr(Bench, name)

    def work(pod: Pod) -> float:
        ticks = declared.at(run=next(runs)).using(pod)
        assert ticks.read() == 0
        started = time.perf_counter()
        for _ in range(EVENTS // PACK):
            last = ticks.append_many([Tick()] * PACK, wait=False)[-1]
        assert ticks.read(at_least=last, timeout=60) == EVENTS
        return EVENTS / (time.perf_counter() - started)

    if not durable:
        with pods(1) as (pod,):
            return work(pod)
    pod = new_pod()
    try:
        return work(pod)
    finally:
        pod.close()


# Compaction beside appends ----------------------------------------------------------------------------------


def _old_log(key: str) -> None:
    """A log of `OLD` records, one in each pack, written an hour ago."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO via_state_log (prefix, key, epoch, last, last_append, last_index, floor, floor_record, xid) "
            "VALUES ('via', %s, gen_random_uuid(), %s, gen_random_uuid(), 0, 0, '', 0)",
            (key, OLD),
        )
        connection.execute(
            "INSERT INTO via_state_pack (log_id, first, last, append_id, created, data) "
            "SELECT log.id, n, n, gen_random_uuid(), now() - interval '1 hour', %s "
            "FROM via_state_log log, generate_series(1, %s) n WHERE log.key = %s",
            (b'[["Tick",1,{}]]', OLD, key),
        )
        connection.execute("VACUUM (ANALYZE) via_state_pack")
        connection.execute("CHECKPOINT")


def _appends_until(stop: threading.Event | None, pod: Pod, seconds: float) -> float:
    """The p99, in milliseconds, of appends by 16 callers, for a time or until told."""
    times: list[float] = []

    async def work() -> None:
        ticks = Bench.run.at(run=next(runs)).using(pod)
        await ticks.aappend(Tick())
        deadline = time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < deadline if stop is None else not stop.is_set():
                started = time.perf_counter()
                await ticks.aappend(Tick())
                times.append(time.perf_counter() - started)

        await asyncio.gather(*(caller() for _ in range(16)))

    asyncio.run(work())
    return statistics.quantiles(times, n=100)[98] * 1000


def appends_beside_compaction() -> float:
    """p99 of appends while another process's worth of records is discarded."""
    key = Bench.run.at(run=next(runs)).key
    _old_log(key)
    pod, other = new_pod(), new_pod()
    stop = threading.Event()

    def compact() -> None:
        try:
            other.thread.call(other.backplane.compact(key, OLD - 1))
        finally:
            stop.set()

    try:
        worker = threading.Thread(target=compact)
        worker.start()
        return _appends_until(stop, pod, 0)
    finally:
        worker.join()
        pod.close()
        other.close()


def appends_alone() -> float:
    """Raw: the same appends while nothing else happens."""
    pod = new_pod()
    try:
        return _appends_until(None, pod, 3.0)
    finally:
        pod.close()


# Size -------------------------------------------------------------------------------------------------------


class Forgetful(PostgresBackplane):
    """Remembers append ids for seconds instead of minutes, so that a minute shows what hours do."""

    retry_window = 2.0


def steady_sizes(seconds: float = STEADY) -> tuple[list[float], int]:
    """Megabytes of all tables, each second, under steady appends and compaction; and the number of appends."""
    pod = Pod(Forgetful({"CONNECT_TIMEOUT": 0.5, "TIMEOUT": 2.0}))
    sizes: list[float] = []
    appended = 0

    async def work() -> None:
        nonlocal appended
        ticks = Bench.run.at(run=next(runs)).using(pod)
        ended = time.monotonic() + seconds

        async def caller() -> None:
            nonlocal appended
            while time.monotonic() < ended:
                await ticks.aappend_many([Tick()] * 10)
                appended += 1
                await asyncio.sleep(0.002)

        async def compact() -> None:
            while time.monotonic() < ended:
                await asyncio.sleep(1.0)
                head = (await pod.thread.acall(pod.backplane.head(ticks.key))).position.offset
                await pod.thread.acall(pod.backplane.compact(ticks.key, max(0, head - 10_000)))
                sizes.append(await asyncio.to_thread(_megabytes))

        await asyncio.gather(compact(), *(caller() for _ in range(4)))

    try:
        asyncio.run(work())
    finally:
        pod.close()
    return sizes, appended


def _megabytes() -> float:
    query = (
        "SELECT sum(pg_total_relation_size(t)) FROM unnest(ARRAY['via_state_log', 'via_state_pack']::regclass[]) t"
    )
    with psycopg.connect(dsn(), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return float(row[0]) / 1e6


notes: list[str] = []


def growth() -> float:
    """How much larger the tables are in the last third of a steady load than in the second one."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("TRUNCATE via_state_log, via_state_pack")
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '5s'")
        connection.execute("SELECT pg_reload_conf()")
    sizes, appended = steady_sizes()
    third = len(sizes) // 3
    middle, last = max(sizes[third : 2 * third]), max(sizes[2 * third :])
    notes.append(f"{appended:,} appends of 10, {middle:.0f} MB and {last:.0f} MB")
    return last / middle


def benchmarks() -> list[Benchmark]:
    packs = f"{EVENTS:,} events in packs of {PACK}, appended and folded"
    return [
        Benchmark(
            "cold-start",
            "ms",
            cold_start,
            select_snapshot_and_tail,
            f"a log of {LONG:,} events whose snapshot covers all but {TAIL}; raw: selecting and decoding both",
            lower_is_better=True,
        ),
        *(
            Benchmark(
                f"snapshots-{kind}",
                "events/s",
                functools.partial(converge, "run", durable),
                functools.partial(converge, "bare", durable),
                f"{packs}, with snapshots and compaction; raw: the same without",
            )
            for kind, durable in (("memory", False), ("postgres", True))
        ),
        Benchmark(
            "compact-postgres",
            "ms",
            appends_beside_compaction,
            appends_alone,
            f"p99 of 16 appenders while {OLD:,} records are discarded; raw: while nothing else happens",
            lower_is_better=True,
            rounds=3,
        ),
        Benchmark(
            "bloat-postgres",
            "last third / middle third",
            growth,
            None,
            f"largest size of the tables in {STEADY:.0f} s of steady appends and compactions, vacuumed each 5 s",
            lower_is_better=True,
            rounds=1,
            seen=lambda: notes[-1],
        ),
    ]
