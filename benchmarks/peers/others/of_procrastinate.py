"""procrastinate: asynchronous tasks with retries, by one worker."""

from __future__ import annotations

import asyncio
import itertools
import time

import procrastinate
from psycopg.conninfo import make_conninfo

from benchmarks.peers.others.jobs import DATABASE, serve
from benchmarks.peers.sizes import LANES, SECONDS, TASKS

app = procrastinate.App(
    # Its pool has a connection for each task that runs, one that listens, and some.
    connector=procrastinate.PsycopgConnector(conninfo=make_conninfo(**DATABASE), min_size=4, max_size=LANES + 4)
)
done = itertools.count()


@app.task(name="count", retry=procrastinate.RetryStrategy(max_attempts=10, exponential_wait=2))
async def count(number: int) -> None:
    next(done)


def work(concurrency: int) -> float:
    """Tasks a second, of those that were deferred before the worker began."""

    async def run() -> float:
        global done
        async with app.open_async():
            await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
            await count.batch_defer_async(*({"number": number} for number in range(TASKS)))
            done = itertools.count()
            started = time.perf_counter()
            worker = asyncio.ensure_future(
                app.run_worker_async(
                    wait=False, concurrency=concurrency, delete_jobs="successful", install_signal_handlers=False
                )
            )
            await asyncio.wait([worker], timeout=SECONDS)
            rate = next(done) / (time.perf_counter() - started)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        return rate

    return asyncio.run(run())


async def migrate() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


def main() -> None:
    asyncio.run(migrate())
    serve("procrastinate", {"tasks": lambda: work(1), "tasks-many": lambda: work(LANES)})
