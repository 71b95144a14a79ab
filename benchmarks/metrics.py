"""What counting costs, of a fold of one event; and what metadata costs, of decoding a pack."""

from __future__ import annotations

import time

from benchmarks.harness import Benchmark
from benchmarks.memory import PACK, TICKS
from benchmarks.state import Bench, Tick
from via_state.core.metadata import Metadata
from via_state.core.projection import Projection
from via_state.core.records import GENESIS
from via_state.pod.reading.fold_report import FoldReport
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
                    report.count(outcome, projection)
            best = min(best, time.thread_time() - started)
        return best / TURNS * 1e6


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
    return [
        Benchmark(
            "metrics-cost",
            "µs",
            lambda: fold(True),
            lambda: fold(False),
            "CPU time of one event's fold alone, with what it tells metrics and of halts; raw: without. A turn of a pod reads and publishes as well",
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
