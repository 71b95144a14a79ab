"""Our side of what other packages are measured at, by the same numbers."""

from __future__ import annotations

import itertools

from benchmarks.peers.callers import per_second
from benchmarks.peers.sizes import REPLAY
from benchmarks.postgres import fill, fold_all, new_pod
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
    run = next(runs)
    fill(new_pod, run, REPLAY)
    return fold_all(new_pod, run, REPLAY)
