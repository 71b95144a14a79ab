"""What counting costs, of a fold of one event; and what metadata costs, of decoding a pack."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.harness import Benchmark
from benchmarks.memory import PACK, TICKS
from benchmarks.state import Bench, Tick
from via_state.core.metadata import Metadata
from via_state.core.projection import Projection
from via_state.core.records import GENESIS
from via_state.pod.reading.fold_report import FoldReport
from via_state.pod.reading.projector import Projector
from via_state.testing import pods

TURNS, ROUNDS, DECODES = 2_000, 20, 500
FULL = Metadata(1_764_130_000_000, f"00-{'ab' * 16}-{'cd' * 8}-01", "auth.user:71", "r" * 26)


def fold(telling: bool) -> float:
    """Microseconds of CPU for a fold of one event, from its read batch to its value; perhaps with what it tells of itself."""
    spec = Bench.ticks.definition.spec()
    with pods(1) as (pod,):
        Bench.ticks.using(pod).append(Tick())
        batch = pod.thread.call(pod.backplane.read(Bench.ticks.key, GENESIS, PACK))
        projection = Projection(spec)
        report = FoldReport(Bench.ticks.key, spec)
        best = float("inf")
        for _ in range(ROUNDS):
            started = time.thread_time()
            for _ in range(TURNS):
                projection.value, projection.position = 0, GENESIS
                outcome = projection.feed(batch, GENESIS)
                if telling:
                    report.count(outcome, projection, batch)
            best = min(best, time.thread_time() - started)
        return best / TURNS * 1e6


def turn() -> float:
    """Microseconds of CPU for a turn of a pod that reads one event, folds it and shows it, with all that it tells."""
    spec = Bench.ticks.definition.spec()

    async def turns(projector: Projector[Any]) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            started = time.thread_time()
            for _ in range(TURNS):
                projector._projection.value, projector._projection.position = 0, GENESIS
                await projector._read_to_head()
            best = min(best, time.thread_time() - started)
        return best / TURNS * 1e6

    with pods(1) as (pod,):
        Bench.ticks.using(pod).append(Tick())
        pod.read(Bench.ticks.key, spec)
        (projector,) = pod.replicas.logs()
        return pod.thread.call(turns(projector))


class Cost:
    """A turn, and what is left of the same turn without what its fold tells, which is less than turns differ by."""

    def __init__(self) -> None:
        self._turn = 0.0

    def turn(self) -> float:
        self._turn = turn()
        return self._turn

    def rest(self) -> float:
        return self._turn - (fold(True) - fold(False))


def decode(metadata: Metadata | None) -> float:
    """Events per second."""
    codec = Bench.ticks.definition.spec().events
    pack = codec.encode(TICKS, metadata)
    started = time.thread_time()
    for _ in range(DECODES):
        codec.decode(pack, PACK)
    return DECODES * PACK / (time.thread_time() - started)


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    cost = Cost()
    return [
        Benchmark(
            "metrics-cost",
            "µs",
            cost.turn,
            cost.rest,
            "CPU time of a pod's turn that reads, folds and shows one event in memory; raw: without what the fold tells metrics and of halts",
            lower_is_better=True,
        ),
        Benchmark(
            "metadata",
            "events/s",
            lambda: decode(FULL),
            lambda: decode(None),
            f"decoding packs of {PACK} with time, trace, actor and cause; raw: without metadata",
        ),
        Benchmark(
            "metadata-time",
            "events/s",
            lambda: decode(Metadata(FULL.time)),
            lambda: decode(None),
            "the same with the time alone, as every record has it",
        ),
    ]
