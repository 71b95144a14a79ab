"""Our side of what other packages are measured at, by the same numbers."""

from __future__ import annotations

import itertools
import time

from benchmarks.peers.callers import per_second
from benchmarks.peers.sizes import PACK, REPLAY
from benchmarks.postgres import new_pod
from benchmarks.state import Bench, Tick

runs = itertools.count(2_000_000)


def append(callers: int) -> float:
    """Appends a second of so many threads, one event each, to a log of each thread's own."""
    pod, run = new_pod(), next(runs)
    try:
        logs = [Bench.lane.at(run=run, lane=number).using(pod) for number in range(callers)]
        for log in logs:
            log.append(Tick())

        return per_second([lambda log=log: log.append(Tick()) for log in logs])  # type: ignore[misc]
    finally:
        pod.close()


def replay() -> float:
    """Events a second of a log that a new pod folds from its beginning."""
    pod, run = new_pod(), next(runs)
    ticks = Bench.bare.at(run=run).using(pod)
    for _ in range(REPLAY // PACK):
        ticks.append_many([Tick()] * PACK, wait=False)
    pod.close()
    pod = new_pod()
    try:
        Bench.bare.at(run=-1).using(pod).read()  # connected
        started = time.perf_counter()
        assert Bench.bare.at(run=run).using(pod).read() == REPLAY
        return REPLAY / (time.perf_counter() - started)
    finally:
        pod.close()
