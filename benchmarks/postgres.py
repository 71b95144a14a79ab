"""Figures over a real PostgreSQL, each beside psycopg doing the same work alone."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import psycopg

from benchmarks.harness import Benchmark
from benchmarks.state import Bench, Record, Stamped, Tick
from via_state.backplanes.postgres import PostgresBackplane
from via_state.pod.pod import Pod

APPENDS, IN_FLIGHT = 40_000, 256
MANY_KEYS, NEW_LOGS = (100, 10_000), 10_240
REPLAY, PACK = 500_000, 1000
STAMPS = 400
PROCESSES, UPDATING = 8, 3.0  # seconds
runs = itertools.count()


def dsn() -> str:
    return f"host=127.0.0.1 port={os.environ['VIA_DATABASE_PORT']} user=postgres dbname=postgres"


#: One append of one caller.
Append = Callable[[], Coroutine[Any, Any, object]]


def new_pod() -> Pod:
    return Pod(PostgresBackplane({}))


def appended_per_second(
    new_pod: Callable[[], Pod], count: int, prepare: Callable[[Pod], Coroutine[Any, Any, Append]]
) -> float:
    """Acknowledged appends per second of one pod: many tasks, one event each. ``prepare`` gives what one of them calls, again and again."""

    async def work(pod: Pod) -> float:
        append = await prepare(pod)

        async def caller() -> None:
            for _ in range(count // IN_FLIGHT):
                await append()

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return count / (time.perf_counter() - started)

    pod = new_pod()
    try:
        return asyncio.run(work(pod))
    finally:
        pod.close()


def append_concurrently(new_pod: Callable[[], Pod]) -> float:
    """Acknowledged appends per second to one hot key."""

    async def prepare(pod: Pod) -> Append:
        ticks = Bench.run.at(run=next(runs)).using(pod)
        await ticks.aappend(Tick())
        return lambda: ticks.aappend(Tick())

    return appended_per_second(new_pod, APPENDS, prepare)


def insert_batches() -> float:
    """Raw: rows per second, inserted a hundred at a time with a commit each, head row moved in the same statement."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS raw_head (key text PRIMARY KEY, pos bigint NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS raw_log (key text, pos bigint, data bytea, PRIMARY KEY (key, pos))"
        )
        key = uuid.uuid4().hex
        connection.execute("INSERT INTO raw_head VALUES (%s, 0)", (key,))
        batch = [b'["Tick",1,{}]'] * 100
        started = time.perf_counter()
        for _ in range(APPENDS // 100):
            connection.execute(
                "WITH h AS (UPDATE raw_head SET pos = pos + 100 WHERE key = %s RETURNING key, pos) "
                "INSERT INTO raw_log SELECT h.key, h.pos - 100 + d.n, d.data "
                "FROM h, unnest(%s::bytea[]) WITH ORDINALITY AS d(data, n)",
                (key, batch),
            )
        return APPENDS / (time.perf_counter() - started)


def append_over_keys(new_pod: Callable[[], Pod], keys: int) -> float:
    """Acknowledged appends per second over so many logs that are there."""

    async def prepare(pod: Pod) -> Append:
        run = next(runs)
        logs = [Bench.lane.at(run=run, lane=lane).using(pod) for lane in range(keys)]
        for first in range(0, keys, 1000):
            await asyncio.gather(*(log.aappend(Tick(), wait=False) for log in logs[first : first + 1000]))
        turns = itertools.cycle(random.Random(run).sample(logs, keys))
        return lambda: next(turns).aappend(Tick())

    return appended_per_second(new_pod, APPENDS, prepare)


def insert_over_keys(keys: int) -> float:
    """Raw: a row for each of a hundred keys in a statement, with a commit each, their head rows moved in the same statement."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw_heads, raw_logs")
        connection.execute(
            "CREATE TABLE raw_heads (key text PRIMARY KEY, pos bigint NOT NULL) WITH (fillfactor = 50)"
        )
        connection.execute("CREATE TABLE raw_logs (key text, pos bigint, data bytea, PRIMARY KEY (key, pos))")
        names = [f"raw.{number}" for number in range(keys)]
        connection.execute("INSERT INTO raw_heads SELECT key, 0 FROM unnest(%s::text[]) key", (names,))
        turns = itertools.cycle(random.Random(keys).sample(names, keys))
        datas = [b'["Tick",1,{}]'] * 100
        started = time.perf_counter()
        for _ in range(APPENDS // 100):
            connection.execute(
                "WITH d AS (SELECT * FROM unnest(%s::text[], %s::bytea[]) AS d (key, data)), "
                "h AS (UPDATE raw_heads SET pos = pos + 1 FROM d WHERE raw_heads.key = d.key RETURNING d.key, pos, d.data) "
                "INSERT INTO raw_logs SELECT key, pos, data FROM h",
                ([next(turns) for _ in range(100)], datas),
            )
        return APPENDS / (time.perf_counter() - started)


def make_logs(new_pod: Callable[[], Pod]) -> float:
    """Logs per second that get their first event."""

    async def prepare(pod: Pod) -> Append:
        run, lanes = next(runs), itertools.count()
        await Bench.lane.at(run=run, lane="first").using(pod).aappend(Tick())
        return lambda: Bench.lane.at(run=run, lane=next(lanes)).using(pod).aappend(Tick())

    return appended_per_second(new_pod, NEW_LOGS, prepare)


def insert_heads() -> float:
    """Raw: head rows and their first records, a hundred of each in a statement, with a commit each."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw_heads, raw_logs")
        connection.execute(
            "CREATE TABLE raw_heads (key text PRIMARY KEY, pos bigint NOT NULL) WITH (fillfactor = 50)"
        )
        connection.execute("CREATE TABLE raw_logs (key text, pos bigint, data bytea, PRIMARY KEY (key, pos))")
        datas = [b'["Tick",1,{}]'] * 100
        started = time.perf_counter()
        for first in range(0, NEW_LOGS, 100):
            connection.execute(
                "WITH d AS (SELECT * FROM unnest(%s::text[], %s::bytea[]) AS d (key, data)), "
                "h AS (INSERT INTO raw_heads SELECT key, 1 FROM d RETURNING key) "
                "INSERT INTO raw_logs SELECT key, 1, data FROM d",
                ([f"raw.{number}" for number in range(first, first + 100)], datas),
            )
        return NEW_LOGS / (time.perf_counter() - started)


@functools.cache
def filled_run(new_pod: Callable[[], Pod]) -> int:
    """The number of a log of `REPLAY` ticks."""
    run = next(runs)
    fill(new_pod, run, REPLAY)
    return run


def fill(new_pod: Callable[[], Pod], run: int, count: int) -> None:
    """Append so many ticks to the log of a run."""
    pod = new_pod()
    ticks = Bench.bare.at(run=run).using(pod)
    try:
        for _ in range(count // PACK):
            ticks.append_many([Tick()] * PACK, wait=False)
    finally:
        pod.close()


def replay(new_pod: Callable[[], Pod]) -> float:
    """Events per second that a new pod folds from the beginning."""
    return fold_all(new_pod, filled_run(new_pod), REPLAY)


def fold_all(new_pod: Callable[[], Pod], run: int, count: int) -> float:
    """Events per second that a new pod folds, of a log with so many."""
    pod = new_pod()
    try:
        Bench.bare.at(run=-1).using(pod).read()  # connected
        started = time.perf_counter()
        assert Bench.bare.at(run=run).using(pod).read() == count
        return count / (time.perf_counter() - started)
    finally:
        pod.close()


def select_and_decode() -> float:
    """Raw: psycopg reading the same rows in the same portions, msgspec decoding them."""
    key = Bench.bare.at(run=filled_run(new_pod)).key
    decoder = msgspec.json.Decoder(list[Record])
    with psycopg.connect(dsn(), autocommit=True) as connection:
        started = time.perf_counter()
        after = count = 0
        while True:
            rows = connection.execute(
                "SELECT first, last, data FROM via_state_pack WHERE log_id = (SELECT id FROM via_state_log WHERE key = %s) "
                "AND first > %s AND first <= %s + 1000 ORDER BY first",
                (key, after, after),
                binary=True,
            ).fetchall()
            if not rows:
                break
            after = rows[-1][1]
            count += sum(len(decoder.decode(data)) for _, _, data in rows)
        assert count == REPLAY
        return REPLAY / (time.perf_counter() - started)


def child_of(job: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The other process, at its ``job``."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.child", job, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def line_of(child: subprocess.Popen[str]) -> str:
    """The next line that a child process writes."""
    assert child.stdout is not None
    return child.stdout.readline()


def latencies(job: str, send: Callable[[], object], **environment: str) -> list[float]:
    """Milliseconds until a child process had each stamp; one at a time, as a person clicks."""
    child = child_of(job, **environment)
    try:
        assert line_of(child).strip() == "ready"
        found = []
        for _ in range(STAMPS):
            send()
            found.append(float(line_of(child)) * 1000)
        return sorted(found)
    finally:
        child.kill()
        child.communicate()


def latency(new_pod: Callable[[], Pod], quantile: float, **environment: str) -> float:
    """Milliseconds from before the append until another process has folded it."""
    pod = new_pod()
    stamps = Bench.stamps.using(pod)
    try:
        found = latencies("folded", lambda: stamps.append(Stamped(time.monotonic()), wait=False), **environment)
    finally:
        pod.close()
    return found[int(len(found) * quantile)]


def raw_latency(quantile: float) -> float:
    """Raw: insert a row and NOTIFY after it; another process listens and reads the row."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS raw_stamp (id bigserial PRIMARY KEY, at double precision)")

        def send() -> None:
            connection.execute("INSERT INTO raw_stamp (at) VALUES (%s)", (time.monotonic(),))
            connection.execute("NOTIFY raw_stamp")

        found = latencies("listen", send)
    return found[int(len(found) * quantile)]


conflicts: list[float] = []


def _together(job: str) -> list[dict[str, float]]:
    children = [child_of(job) for _ in range(PROCESSES)]
    try:
        for child in children:
            assert line_of(child).strip() == "ready"
        for child in children:
            assert child.stdin is not None
            child.stdin.write(f"{UPDATING}\n")
            child.stdin.flush()
        return [json.loads(line_of(child)) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _rate(answers: list[dict[str, float]]) -> float:
    seconds = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    return sum(answer["done"] for answer in answers) / seconds


def update() -> float:
    """Updates per second of eight processes on one cell; checks that none is lost."""
    pod = new_pod()
    try:
        Bench.hits.using(pod).reset()
        answers = _together("update")
        done = sum(answer["done"] for answer in answers)
        conflicts.append(sum(answer["conflicts"] for answer in answers) / done)
        Bench.hits.using(pod).update(lambda old: old)
        assert Bench.hits.using(pod).read() == done, "an update was lost"
        return _rate(answers)
    finally:
        pod.close()


def raw_update() -> float:
    """Raw: the same with SELECT and a conditional UPDATE, tried again at once."""
    with psycopg.connect(dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS raw_cell (id int PRIMARY KEY, value int, rev bigint)")
        connection.execute("INSERT INTO raw_cell VALUES (1, 0, 0) ON CONFLICT (id) DO UPDATE SET value = 0")
    return _rate(_together("raw-update"))


def benchmarks() -> list[Benchmark]:
    return [
        Benchmark(
            "append-postgres",
            "appends/s",
            functools.partial(append_concurrently, new_pod),
            insert_batches,
            f"{IN_FLIGHT} appends in flight, one key; raw: psycopg, batches of 100 rows",
        ),
        *(
            Benchmark(
                f"append-postgres-{keys}",
                "appends/s",
                functools.partial(append_over_keys, new_pod, keys),
                functools.partial(insert_over_keys, keys),
                f"{IN_FLIGHT} appends in flight, {keys:,} keys; raw: psycopg, a row for each of 100 keys in a statement",
                rounds=3,
            )
            for keys in MANY_KEYS
        ),
        Benchmark(
            "new-logs",
            "logs/s",
            functools.partial(make_logs, new_pod),
            insert_heads,
            f"{NEW_LOGS:,} first events, {IN_FLIGHT} in flight; raw: psycopg, 100 head rows with a record each in a statement",
            rounds=3,
        ),
        Benchmark(
            "replay-postgres",
            "events/s",
            functools.partial(replay, new_pod),
            select_and_decode,
            f"{REPLAY:,} events in packs of {PACK}, from the beginning; raw: psycopg and msgspec, without folding",
        ),
        *(
            Benchmark(
                f"latency-postgres-p{quantile * 100:.0f}",
                "ms",
                functools.partial(latency, new_pod, quantile),
                functools.partial(raw_latency, quantile),
                "append to folded in another process; raw: INSERT, NOTIFY, LISTEN, SELECT",
                lower_is_better=True,
                rounds=3,
            )
            for quantile in (0.5, 0.99)
        ),
        Benchmark(
            "update-8",
            "updates/s",
            update,
            raw_update,
            f"{PROCESSES} processes on one cell for {UPDATING:g} s; raw: SELECT and a conditional UPDATE",
            rounds=3,
            seen=lambda: f"{sum(conflicts) / len(conflicts):.2f} conflicts per update",
        ),
    ]
