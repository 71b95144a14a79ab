"""How figures grow: with the number of keys, of pods and of idle keys in memory, and with the length of a log. Drawn by `report`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from benchmarks import memory, postgres, snapshots
from benchmarks.harness import Benchmark
from benchmarks.postgres import new_pod
from benchmarks.state import Bench, Tick
from via_state import Offset

KEYS = (1, 10, 100, 1_000, 10_000)
PODS = (1, 2, 4, 8, 16)
LENGTHS = (10_000, 100_000, 1_000_000)
RESIDENTS = (1, 100, 10_000, 100_000)
HELD = (1_000, 10_000, 100_000)
PACK, EVENTS = 1000, 50_000


@functools.cache
def _bare(length: int) -> tuple[int, Offset]:
    """The number of a log of so many events that has no snapshot, and its last offset."""
    run = next(postgres.runs)
    pod = new_pod()
    ticks = Bench.bare.at(run=run).using(pod)
    for _ in range(length // PACK):
        last = ticks.append_many([Tick()] * PACK, wait=False)[-1]
    pod.close()
    return run, last


def start_without_snapshot(length: int) -> float:
    """Milliseconds until a new pod, whose connections are up, has folded a log from its beginning."""
    run, last = _bare(length)
    pod = new_pod()
    try:
        Bench.bare.at(run=-1).using(pod).read()
        started = time.perf_counter()
        assert Bench.bare.at(run=run).using(pod).read(at_least=last, timeout=120) == length
        return (time.perf_counter() - started) * 1000
    finally:
        pod.close()


def held(keys: int) -> float:
    """KiB for each of so many keys that a new process holds."""
    child = postgres.child_of("hold", str(keys))
    try:
        return float(postgres.line_of(child)) / 1024
    finally:
        child.communicate()


def benchmarks() -> list[Benchmark]:
    def over(
        name: str,
        unit: str,
        sizes: tuple[int, ...],
        ours: Callable[[int], float],
        note: str,
        raw: Callable[[int], float] | None = None,
        rounds: int = 3,
    ) -> list[Benchmark]:
        return [
            Benchmark(
                f"growth-{name}-{size}",
                unit,
                functools.partial(ours, size),
                functools.partial(raw, size) if raw else None,
                note,
                lower_is_better=unit.startswith(("ms", "KiB")),
                rounds=rounds,
            )
            for size in sizes
        ]

    return [
        *over(
            "keys",
            "appends/s",
            KEYS,
            functools.partial(postgres.append_over_keys, new_pod),
            "appends to so many keys over PostgreSQL, 256 in flight in one process",
        ),
        *over(
            "pods",
            "events/s",
            PODS,
            functools.partial(memory.converge, events=EVENTS),
            "events appended until so many pods in one process have folded them",
        ),
        *over(
            "length",
            "ms",
            LENGTHS,
            snapshots.cold_start,
            "start of a pod on a log of so many events over PostgreSQL; raw: without a snapshot",
            start_without_snapshot,
        ),
        *over(
            "replicas",
            "ms CPU",
            RESIDENTS,
            memory.sweep,
            "a sweep with so many keys in memory, of which one has moved",
            rounds=1,
        ),
        *over(
            "memory",
            "KiB",
            HELD,
            held,
            "memory of a process for each of so many keys that it holds, a counter each",
            rounds=1,
        ),
    ]
