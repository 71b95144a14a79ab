"""The channel layer over PostgreSQL and NATS: from `group_send` in one process to `receive` in another."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import nats
import psycopg

from benchmarks import nats as over_nats
from benchmarks import postgres as over_postgres
from benchmarks.harness import Benchmark
from benchmarks.peers.sizes import SECONDS, SENDERS, SINGLE, TEXT
from benchmarks.postgres import child_of, dsn, line_of
from via_state.layers import BackplaneChannelLayer
from via_state.pod.pod import Pod


class _Layer(BackplaneChannelLayer):
    def __init__(self, pod: Pod) -> None:
        super().__init__()
        self._own = pod

    def pod(self) -> Pod:
        return self._own


Send = Callable[[float], Coroutine[Any, Any, None]]


async def one_by_one(child: Any, send: Send) -> float:
    """The median of milliseconds until the other process had each."""
    ages = []
    for _ in range(SINGLE):
        await send(time.monotonic())
        ages.append(float(await asyncio.to_thread(line_of, child)) * 1000)
    return sorted(ages)[len(ages) // 2]


async def many(child: Any, send: Send) -> float:
    """Messages per second, until the other process has the last."""
    count, ends = 0, time.perf_counter() + SECONDS

    async def sender() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await send(0.0)
            count += 1

    started = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    await send(1.0)
    assert (await asyncio.to_thread(line_of, child)).strip() == "last"
    return count / (time.perf_counter() - started)


Measure = Callable[[Any, Send], Coroutine[Any, Any, float]]
_JOBS: dict[Measure, str] = {one_by_one: "ages", many: "last"}


def through_the_layer(new_pod: Callable[[], Pod], measure: Measure, **environment: str) -> float:
    child = child_of("layer", _JOBS[measure], **environment)
    pod = new_pod()
    try:
        assert line_of(child).strip() == "ready"
        layer = _Layer(pod)

        async def send(stamp: float) -> None:
            await layer.group_send("bench", {"type": "bench", "stamp": stamp, "text": TEXT})

        return asyncio.run(measure(child, send))
    finally:
        pod.close()
        child.kill()
        child.communicate()


def _by_hand(job: str, measure: Measure, connected: Callable[[Callable[[Send], Any]], Any]) -> float:
    child = child_of(job, _JOBS[measure])
    try:
        assert line_of(child).strip() == "ready"
        result: float = asyncio.run(connected(lambda send: measure(child, send)))
        return result
    finally:
        child.kill()
        child.communicate()


async def _with_psycopg(work: Callable[[Send], Coroutine[Any, Any, float]]) -> float:
    connection = await psycopg.AsyncConnection.connect(dsn(), autocommit=True)

    async def send(stamp: float) -> None:
        await connection.execute("SELECT pg_notify('raw_message', %s)", (f"{stamp} {TEXT}",))

    async with connection:
        return await work(send)


async def _with_nats(work: Callable[[Send], Coroutine[Any, Any, float]]) -> float:
    client = await nats.connect(os.environ["VIA_BENCH_NATS"])

    async def send(stamp: float) -> None:
        await client.publish("raw.message", f"{stamp} {TEXT}".encode())

    try:
        return await work(send)
    finally:
        await client.close()


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    found = []
    for name, new_pod, job, connected, environment in (
        ("postgres", over_postgres.new_pod, "raw-notify", _with_psycopg, {}),
        ("nats", over_nats.new_pod, "raw-subscribe", _with_nats, {"VIA_BENCH_BACKPLANE": "nats"}),
    ):
        found.append(
            Benchmark(
                f"layer-{name}-p50",
                "ms",
                functools.partial(through_the_layer, new_pod, one_by_one, **environment),
                functools.partial(_by_hand, job, one_by_one, connected),
                "from before group_send to received in another process; raw: NOTIFY, or a publish",
                lower_is_better=True,
                rounds=3,
            )
        )
        found.append(
            Benchmark(
                f"layer-{name}",
                "messages/s",
                functools.partial(through_the_layer, new_pod, many, **environment),
                functools.partial(_by_hand, job, many, connected),
                f"{SENDERS} senders of 300 bytes for {SECONDS:g} s, until the last is received; raw: one connection",
                rounds=3,
            )
        )
    return found
