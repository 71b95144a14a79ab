"""Figures that need no server: folding, and pods converging over the memory backplane."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time

import msgspec
from django.test import override_settings

from benchmarks.harness import Benchmark
from benchmarks.postgres import IN_FLIGHT, append_concurrently, child_of, line_of
from benchmarks.state import Bench, Tick
from via_state.backplanes.memory import MemoryBackplane
from via_state.conf import settings
from via_state.pod.pod import Pod
from via_state.testing import pods

EVENTS = 500_000
PACK = 1000
SUBSCRIBERS = 1000
SINGLE = 40_000
TICKS = [Tick()] * PACK


def fold() -> float:
    """Events per second that one pod reads and folds from a log that is there already."""
    with pods(2) as (writer, reader):
        for _ in range(EVENTS // PACK):
            Bench.ticks.using(writer).append_many(TICKS, wait=False)
        started = time.perf_counter()
        assert Bench.ticks.using(reader).read() == EVENTS
        return EVENTS / (time.perf_counter() - started)


def converge(n: int, events: int = EVENTS) -> float:
    """Events per second from the first append until ``n`` pods have folded all of them."""
    with pods(n) as cluster:
        bound = [Bench.ticks.using(pod) for pod in cluster]
        for ticks in bound:
            assert ticks.read() == 0
        started = time.perf_counter()
        for _ in range(events // PACK):
            last = bound[0].append_many(TICKS, wait=False)[-1]
        for ticks in bound:
            assert ticks.read(at_least=last, timeout=60) == events
        return events / (time.perf_counter() - started)


def decode_alone() -> float:
    """Raw: msgspec decoding the same packs into the same events."""
    envelope = msgspec.defstruct("Envelope", [("version", int), ("payload", Tick)], tag="Tick", array_like=True)
    decoder = msgspec.json.Decoder(list[envelope])  # type: ignore[valid-type]
    pack = msgspec.json.encode([envelope(1, tick) for tick in TICKS])
    started = time.perf_counter()
    for _ in range(EVENTS // PACK):
        decoder.decode(pack)
    return EVENTS / (time.perf_counter() - started)


def encode_and_decode_alone(n: int) -> float:
    """Raw: msgspec encoding the events once and decoding them ``n`` times."""
    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(list[tuple[str, int, Tick]])
    started = time.perf_counter()
    for _ in range(EVENTS // PACK):
        pack = encoder.encode([("Tick", 1, tick) for tick in TICKS])
        for _ in range(n):
            decoder.decode(pack)
    return EVENTS / (time.perf_counter() - started)


def subscribe() -> float:
    """Milliseconds from a change on the pod's loop until the last of its readers on another loop was called."""
    with pods(1) as (pod,):
        return asyncio.run(_until_all_were_called(pod))


async def _until_all_were_called(pod: Pod) -> float:
    spec, left, called = Bench.ticks.definition.spec(), 0, asyncio.Event()

    def reader() -> None:
        nonlocal left
        left -= 1
        if not left:
            called.set()

    subscriptions = [await pod.subscribe(Bench.ticks.key, spec, reader) for _ in range(SUBSCRIBERS)]
    found = []
    for _ in range(100):
        left = SUBSCRIBERS
        called.clear()
        started = time.perf_counter()
        await Bench.ticks.using(pod).aappend(Tick(), wait=False)
        await called.wait()
        found.append((time.perf_counter() - started) * 1000)
    for one in subscriptions:
        one.close()
    return statistics.median(found)


def one_subscriber() -> float:
    """Raw: the same with one reader."""
    with pods(1) as (pod,):
        return asyncio.run(_until_one_was_called(pod))


async def _until_one_was_called(pod: Pod) -> float:
    called = asyncio.Event()
    subscription = await pod.subscribe(Bench.ticks.key, Bench.ticks.definition.spec(), called.set)
    found = []
    for _ in range(100):
        called.clear()
        started = time.perf_counter()
        await Bench.ticks.using(pod).aappend(Tick(), wait=False)
        await called.wait()
        found.append((time.perf_counter() - started) * 1000)
    subscription.close()
    return statistics.median(found)


def in_memory() -> Pod:
    return Pod(MemoryBackplane({}))


def append_one_by_one() -> float:
    """Acknowledged appends per second of one caller without an event loop, one event each."""
    pod = in_memory()
    try:
        ticks = Bench.bare.at(run="sync").using(pod)
        ticks.append(Tick())
        started = time.perf_counter()
        for _ in range(SINGLE):
            ticks.append(Tick())
        return SINGLE / (time.perf_counter() - started)
    finally:
        pod.close()


def encode_one_by_one() -> float:
    """Raw: msgspec encoding each event."""
    encoder = msgspec.json.Encoder()
    started = time.perf_counter()
    for _ in range(SINGLE):
        encoder.encode([("Tick", 1, Tick())])
    return SINGLE / (time.perf_counter() - started)


IDLE_KEYS, SWEEPS = 100_000, 9


def sweep_here(keys: int) -> float:
    """Milliseconds that a sweep takes of the loop's time, with so many keys in memory of which one has moved."""
    pod, spec = Pod(MemoryBackplane({})), Bench.bare.definition.spec()

    async def fill() -> None:
        for first in range(0, keys, 1000):
            names = [f"bench.bare.{number}" for number in range(first, min(keys, first + 1000))]
            await asyncio.gather(*(pod.aappend(name, spec, [Tick()]) for name in names))
            for name in names:
                pod.replicas.log(name, spec)
            await pod.replicas.settle()

    async def measure() -> float:
        found = []
        await asyncio.sleep(2 * settings.RECONCILE_INTERVAL)  # what moved before is compared
        for _ in range(SWEEPS):
            await pod.aappend("bench.bare.0", spec, [Tick()])
            started = time.thread_time()
            pod.reconciler.look()
            await asyncio.sleep(0.05)
            await pod._list_halts()
            found.append((time.thread_time() - started) * 1000)
        return statistics.median(found)

    with override_settings(VIA_STATE={"MAX_REPLICAS": 10 * IDLE_KEYS, "IDLE_TTL": 3600.0}):
        pod.thread.call(fill())
        return pod.thread.call(measure())


def sweep(keys: int) -> float:
    """The same in a process of its own: what it holds would slow down the figures after it."""
    child = child_of("sweep", str(keys))
    try:
        return float(line_of(child))
    finally:
        child.kill()
        child.communicate()


def benchmarks() -> list[Benchmark]:
    packs = f"{EVENTS:,} events in packs of {PACK}"
    return [
        Benchmark("fold", "events/s", fold, decode_alone, f"{packs}; raw: decoding alone"),
        *(
            Benchmark(
                f"converge-{n}",
                "events/s",
                lambda n=n: converge(n),  # type: ignore[misc]
                lambda n=n: encode_and_decode_alone(n),  # type: ignore[misc]
                f"{packs}, {n} pods; raw: encoding once, decoding {n} times",
            )
            for n in (1, 4)
        ),
        Benchmark(
            "append-memory-single",
            "appends/s",
            functools.partial(append_concurrently, in_memory),
            encode_one_by_one,
            f"{IN_FLIGHT} appends in flight, one key, in memory; raw: msgspec encoding each event",
        ),
        Benchmark(
            "append-memory-sync",
            "appends/s",
            append_one_by_one,
            encode_one_by_one,
            "one caller without an event loop, one key, in memory; raw: msgspec encoding each event",
        ),
        Benchmark(
            "subscribe-1000",
            "ms",
            subscribe,
            one_subscriber,
            f"from an append to the last of {SUBSCRIBERS:,} readers on one other loop; raw: the same with one reader",
            lower_is_better=True,
        ),
        Benchmark(
            f"sweep-{IDLE_KEYS}",
            "ms",
            lambda: sweep(IDLE_KEYS),
            lambda: sweep(1),
            f"{IDLE_KEYS:,} keys in memory, one of which moves between two sweeps: time of the loop for one; raw: the same with that key "
            "alone",
            lower_is_better=True,
            rounds=1,
        ),
    ]
