"""Figures over a real NATS server, each beside nats-py doing the same work alone."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
import uuid

import msgspec
import nats

from benchmarks.harness import Benchmark
from benchmarks.postgres import (
    APPENDS,
    IN_FLIGHT,
    MANY_KEYS,
    PACK,
    REPLAY,
    append_concurrently,
    append_over_keys,
    filled_run,
    latencies,
    latency,
    replay,
)
from benchmarks.state import Bench, Record
from via_state.backplanes.nats import NatsBackplane
from via_state.pod.pod import Pod

PREFIX = "bench"


def url() -> str:
    return os.environ["VIA_BENCH_NATS"]


def new_pod() -> Pod:
    return Pod(NatsBackplane({"SERVERS": url(), "PREFIX": PREFIX}))


def publish_pipelined(keys: int = 1) -> float:
    """Raw: messages per second over so many subjects, each with an id, as many in flight as nats-py allows by itself."""

    async def work() -> float:
        client = await nats.connect(url())
        stream, name = client.jetstream(), uuid.uuid4().hex
        await stream.add_stream(name=name, subjects=[f"{name}.>"])
        started = time.perf_counter()
        for number in range(APPENDS):
            await stream.publish_async(
                f"{name}.{number % keys}", b'[["Tick",1,{}]]', headers={"Nats-Msg-Id": str(number)}
            )
        await stream.publish_async_completed()
        seconds = time.perf_counter() - started
        await stream.delete_stream(name)
        await client.close()
        return APPENDS / seconds

    return asyncio.run(work())


def get_and_decode() -> float:
    """Raw: batched direct gets of the same messages, decoded by msgspec."""
    subject = f"{PREFIX}.log.{Bench.bare.at(run=filled_run(new_pod)).key}"
    decoder = msgspec.json.Decoder(list[Record])

    async def work() -> float:
        client = await nats.connect(url())
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        started = time.perf_counter()
        seq = count = 0
        while count < REPLAY:
            request = {"seq": seq + 1, "next_by_subj": subject, "batch": 100}
            await client.publish(f"$JS.API.DIRECT.GET.{PREFIX}_log", json.dumps(request).encode(), reply=inbox)
            while (headers := (message := await answers.next_msg(10)).headers or {}) and "Status" not in headers:
                seq = int(headers["Nats-Sequence"])
                count += len(decoder.decode(message.data))
        seconds = time.perf_counter() - started
        await client.close()
        return REPLAY / seconds

    return asyncio.run(work())


def raw_latency(quantile: float) -> float:
    """Raw: publish into a stream; another process hears the message itself, and reads nothing."""
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(nats.connect(url()))
    stream = client.jetstream()
    loop.run_until_complete(stream.add_stream(name="raw_stamps", subjects=["raw.stamp"]))
    try:
        found = latencies(
            "hear", lambda: loop.run_until_complete(stream.publish("raw.stamp", str(time.monotonic()).encode()))
        )
    finally:
        loop.run_until_complete(stream.delete_stream("raw_stamps"))
        loop.run_until_complete(client.close())
        loop.close()
    return found[int(len(found) * quantile)]


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    return [
        Benchmark(
            "append-nats",
            "appends/s",
            functools.partial(append_concurrently, new_pod),
            publish_pipelined,
            f"{IN_FLIGHT} appends in flight, one key; raw: nats-py, pipelined publishes with ids",
        ),
        *(
            Benchmark(
                f"append-nats-{keys}",
                "appends/s",
                functools.partial(append_over_keys, new_pod, keys),
                functools.partial(publish_pipelined, keys),
                f"{IN_FLIGHT} appends in flight, {keys:,} keys; raw: nats-py, pipelined publishes with ids",
                rounds=3,
            )
            for keys in MANY_KEYS
        ),
        Benchmark(
            "replay-nats",
            "events/s",
            functools.partial(replay, new_pod),
            get_and_decode,
            f"{REPLAY:,} events in packs of {PACK}, from the beginning; raw: nats-py and msgspec, without folding",
        ),
        *(
            Benchmark(
                f"latency-nats-p{quantile * 100:.0f}",
                "ms",
                functools.partial(latency, new_pod, quantile, VIA_BENCH_BACKPLANE="nats"),
                functools.partial(raw_latency, quantile),
                "append to folded in another process; raw: a stored publish, heard by another process",
                lower_is_better=True,
                rounds=3,
            )
            for quantile in (0.5, 0.99)
        ),
    ]
