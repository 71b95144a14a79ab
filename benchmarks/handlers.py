"""Figures of event handlers over PostgreSQL: deliveries a second with a durable position after each, and their latency."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import override_settings

from benchmarks.harness import Benchmark
from benchmarks.postgres import dsn
from benchmarks.state import Tick
from via_state import Delivery, State, StateAppEvents
from via_state.backplanes.postgres import PostgresBackplane
from via_state.bookkeeping.database.positions import RowPositions
from via_state.declarations.catalog import handled_logs
from via_state.handlers.worker import Worker
from via_state.pod.pod import Pod

RECORDS, SECONDS = 20_000, 3.0  # of one round, whichever ends first: a slow disk makes it shorter, not longer
LATENCIES = 200
IDLE_KEYS, IDLE_SECONDS = 10_000, 30.0
NEW_KEYS = 10_000
waits: list[str] = []  # what the rounds of `new-keys` noted
runs = itertools.count()


class Consumed(State):
    lane = StateAppEvents(Tick, key="consumed.{lane}", snapshot_interval=0)
    exact = StateAppEvents(Tick, key="exact.{lane}", snapshot_interval=0)
    many = StateAppEvents(Tick, key="many.{lane}", snapshot_interval=0)
    timed = StateAppEvents(Tick, key="timed", snapshot_interval=0)
    idle = StateAppEvents(Tick, key="idle.{lane}", snapshot_interval=0)


counted = itertools.count(1)
target = [0]
finished = threading.Event()
started_at: list[float] = []
begun = threading.Event()


def _count() -> None:
    if next(counted) >= target[0]:
        finished.set()


def _expect(count: int) -> None:
    """Count from now on; `finished` when it is so many."""
    global counted
    counted, target[0] = itertools.count(1), count
    finished.clear()


@Consumed.lane.on_event("count")
def count(event: Tick, delivery: Delivery) -> None:
    _count()


@Consumed.exact.on_event("write", atomic=True)
def write(event: Tick, delivery: Delivery) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_effects (key, pos) VALUES (%s, %s)", (delivery.key, delivery.offset))
    _count()


@Consumed.timed.on_event("time")
def timed(event: Tick, delivery: Delivery) -> None:
    started_at.append(time.perf_counter())
    begun.set()


@Consumed.idle.on_event("first")
@Consumed.idle.on_event("second")
@Consumed.idle.on_event("third")
def idle(event: Tick, delivery: Delivery) -> None:
    _count()


def _deliver(log: StateAppEvents[Tick], keys: int) -> float:
    """Deliveries a second, of the records of new logs, by one worker."""
    with override_settings(VIA_STATE={"DATABASE": "default", "PREFIX": uuid.uuid4().hex, **_backend()}):
        pod = Pod(PostgresBackplane({"PREFIX": _prefix()}))
        for lane in range(keys):
            log.at(lane=lane).using(pod).append_many([Tick()] * (RECORDS // keys), wait=False)
        _expect(RECORDS // keys * keys)
        worker = Worker(pod.reconciler, RowPositions(), handled_logs())
        started = time.perf_counter()
        pod.thread.call(worker.start())
        finished.wait(SECONDS)
        rate = (next(counted) - 1) / (time.perf_counter() - started)
        pod.thread.call(worker.stop())
        pod.close()
        return rate


def _prefix() -> str:
    from via_state.conf import settings

    return str(settings.PREFIX)


def _backend() -> dict[str, str]:
    return {"BACKEND": "via_state.backplanes.postgres.PostgresBackplane"}


@Consumed.many.on_event("write-many", atomic=True, batch=100)
def write_many(event: Tick, delivery: Delivery) -> None:
    write(event, delivery)


def _atomic(log: StateAppEvents[Tick]) -> float:
    with psycopg.connect(dsn(), autocommit=True) as raw:
        raw.execute("CREATE TABLE IF NOT EXISTS bench_effects (key text, pos bigint)")
    return _deliver(log, 1)


def _raw_batches() -> float:
    """Raw: psycopg inserting rows, a hundred to a transaction that also updates a position."""
    with psycopg.connect(dsn(), autocommit=True) as raw:
        raw.execute("CREATE TABLE IF NOT EXISTS bench_effects (key text, pos bigint)")
        raw.execute("CREATE TABLE IF NOT EXISTS raw_batch (pos bigint)")
        raw.execute("INSERT INTO raw_batch VALUES (0)")

        def batch(first: int) -> None:
            with raw.transaction():
                for pos in range(first, first + 100):
                    raw.execute("INSERT INTO bench_effects (key, pos) VALUES (%s, %s)", ("raw", pos))
                raw.execute("UPDATE raw_batch SET pos = %s", (first + 100,))

        return _rate(batch, RECORDS, 100)


def _rate(work: Callable[[int], None], count: int, step: int = 1) -> float:
    """What is done in a second by calling ``work`` with each ``step``-th number below ``count``, for a round's time."""
    started, done = time.perf_counter(), 0
    while done < count and time.perf_counter() < started + SECONDS:
        work(done)
        done += step
    return done / (time.perf_counter() - started)


def _raw_commits(threads: int) -> float:
    """Raw: psycopg updating one row a commit, each thread its own."""

    def work(number: int) -> None:
        with psycopg.connect(dsn(), autocommit=True) as raw:

            def commit(pos: int) -> None:
                raw.execute("UPDATE raw_position SET pos = %s WHERE id = %s", (pos, number))

            rates.append(_rate(commit, RECORDS // threads))

    with psycopg.connect(dsn(), autocommit=True) as raw:
        raw.execute("DROP TABLE IF EXISTS raw_position")
        raw.execute("CREATE TABLE raw_position (id int PRIMARY KEY, pos bigint)")
        raw.execute("INSERT INTO raw_position SELECT n, 0 FROM generate_series(0, 99) n")
    rates: list[float] = []
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    return sum(rates)


def _latency() -> float:
    """Milliseconds from the call of append to the start of the handler, half of them below."""
    with override_settings(VIA_STATE={"DATABASE": "default", "PREFIX": uuid.uuid4().hex, **_backend()}):
        writer, reader = (Pod(PostgresBackplane({"PREFIX": _prefix()})) for _ in range(2))
        worker = Worker(reader.reconciler, RowPositions(), handled_logs())
        reader.thread.call(worker.start())
        found = []
        for _ in range(LATENCIES):
            begun.clear()
            started = time.perf_counter()
            Consumed.timed.using(writer).append(Tick(), wait=False)
            assert begun.wait(10)
            found.append((started_at[-1] - started) * 1000)
            time.sleep(0.005)  # an idle log, not a busy one
        reader.thread.call(worker.stop())
        writer.close()
        reader.close()
        return statistics.median(found[20:])


def _idle() -> float:
    """Statements a second that a worker costs the database while nothing happens in many logs."""
    with override_settings(VIA_STATE={"DATABASE": "default", "PREFIX": uuid.uuid4().hex, **_backend()}):
        pod = Pod(PostgresBackplane({"PREFIX": _prefix()}))

        async def fill() -> None:
            for first in range(0, IDLE_KEYS, 100):
                lanes = range(first, first + 100)
                await asyncio.gather(
                    *(Consumed.idle.at(lane=one).using(pod).aappend(Tick(), wait=False) for one in lanes)
                )

        asyncio.run(fill())
        _expect(3 * IDLE_KEYS)
        worker = Worker(pod.reconciler, RowPositions(), handled_logs())
        pod.thread.call(worker.start())
        assert finished.wait(900)
        while (_statements(2.0)) > 100:  # what was released, and the compactions after it
            pass
        found = _statements(IDLE_SECONDS)
        pod.thread.call(worker.stop())
        pod.close()
        return found


def _new_keys() -> float:
    """New keys of a family that are handled in a second; what another handler and the end of a worker wait for is noted."""
    with override_settings(VIA_STATE={"DATABASE": "default", "PREFIX": uuid.uuid4().hex, **_backend()}):
        pod = Pod(PostgresBackplane({"PREFIX": _prefix()}))
        _fill(pod)
        _expect(NEW_KEYS)
        worker = Worker(pod.reconciler, RowPositions(), handled_logs(["count", "time"]))
        started = time.perf_counter()
        pod.thread.call(worker.start())
        other = [_another(pod) for _ in range(5)]
        assert finished.wait(120)
        rate = NEW_KEYS / (time.perf_counter() - started)
        pod.thread.call(worker.stop())

        _fill(pod)
        _expect(NEW_KEYS // 10)
        worker = Worker(pod.reconciler, RowPositions(), handled_logs(["count", "time"]))
        pod.thread.call(worker.start())
        assert finished.wait(120)
        ending = time.perf_counter()
        pod.thread.call(worker.stop())
        ending = time.perf_counter() - ending
        pod.close()
        waits.append(
            f"another handler's event after {max(other):.2f} s at most, the end of the worker after {ending:.2f} s"
        )
        return rate


def _another(pod: Pod) -> float:
    begun.clear()
    started = time.perf_counter()
    Consumed.timed.using(pod).append(Tick(), wait=False)
    assert begun.wait(60)
    return time.perf_counter() - started


def _fill(pod: Pod) -> None:
    """One event on each of many keys."""

    async def fill() -> None:
        for first in range(0, NEW_KEYS, 100):
            lanes = range(first, first + 100)
            await asyncio.gather(
                *(Consumed.lane.at(lane=one).using(pod).aappend(Tick(), wait=False) for one in lanes)
            )

    asyncio.run(fill())


def _raw_new_keys() -> float:
    """Raw: psycopg in 8 threads; for each key a row inserted, read, marked as begun, and marked as done, a commit each but for the read."""
    each = NEW_KEYS // 8

    def work(number: int) -> None:
        with psycopg.connect(dsn(), autocommit=True) as raw:
            for key in range(number * each, (number + 1) * each):
                raw.execute("INSERT INTO raw_new_key (key, pos, begun) VALUES (%s, 0, 0)", (key,))
                raw.execute("SELECT pos FROM raw_new_key WHERE key = %s", (key,)).fetchone()
                raw.execute("UPDATE raw_new_key SET begun = 1 WHERE key = %s", (key,))
                raw.execute("UPDATE raw_new_key SET pos = 1, begun = 0 WHERE key = %s", (key,))

    with psycopg.connect(dsn(), autocommit=True) as raw:
        raw.execute("DROP TABLE IF EXISTS raw_new_key")
        raw.execute("CREATE TABLE raw_new_key (key int PRIMARY KEY, pos bigint, begun bigint)")
    running = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    started = time.perf_counter()
    for one in running:
        one.start()
    for one in running:
        one.join()
    return NEW_KEYS / (time.perf_counter() - started)


def _statements(seconds: float) -> float:
    """How many this process gives to the database, each second."""
    asked = [0]

    def counting(execute: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            asked[0] += 1
            return execute(*args, **kwargs)

        return counted

    with (
        mock.patch.object(CursorWrapper, "execute", counting(CursorWrapper.execute)),
        mock.patch.object(psycopg.AsyncConnection, "execute", counting(psycopg.AsyncConnection.execute)),
    ):
        time.sleep(seconds)
    return asked[0] / seconds


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    processors = os.cpu_count() or 1
    note = f"one worker, position committed after each, PostgreSQL, {processors} processors shared with the server"
    return [
        Benchmark(
            "consumer-1", "events/s", lambda: _deliver(Consumed.lane, 1), lambda: _raw_commits(1), note, rounds=3
        ),
        Benchmark(
            "consumer-16", "events/s", lambda: _deliver(Consumed.lane, 16), lambda: _raw_commits(8), note, rounds=3
        ),
        Benchmark(
            "consumer-atomic",
            "events/s",
            lambda: _atomic(Consumed.exact),
            lambda: _raw_commits(1),
            f"{note}; one row written by each",
            rounds=3,
        ),
        Benchmark(
            "consumer-atomic-batch",
            "events/s",
            lambda: _atomic(Consumed.many),
            _raw_batches,
            "one worker, batch=100, one row written by each; raw: psycopg, a hundred rows and a position to a transaction",
            rounds=3,
        ),
        Benchmark(
            "new-keys",
            "keys/s",
            _new_keys,
            _raw_new_keys,
            f"{NEW_KEYS:,} new keys of a family with one event each, {note}",
            rounds=1,
            seen=lambda: waits[-1],
        ),
        Benchmark(
            "consumer-latency",
            "ms",
            _latency,
            None,
            "append to the start of the handler, p50",
            lower_is_better=True,
            rounds=3,
        ),
        Benchmark(
            "consumer-idle",
            "statements/s",
            _idle,
            None,
            f"a worker with {IDLE_KEYS:,} idle keys and three handlers, over {IDLE_SECONDS:g} s",
            lower_is_better=True,
            rounds=1,
        ),
    ]
