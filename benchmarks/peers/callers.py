"""Threads that call something again and again, for the time of a round; both sides are measured by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.peers.sizes import SECONDS


def per_second(calls: Sequence[Callable[[], object]]) -> float:
    """Calls a second, each of these by a thread of its own."""
    done = []

    def work(call: Callable[[], object]) -> None:
        count, ends = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < ends:
            call()
            count += 1
        done.append(count)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)
