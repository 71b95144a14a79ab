"""All metrics of this process, or in multiprocess mode of all processes of this machine, and the shared truth, as one page."""

from __future__ import annotations

import atexit
import glob
import os
import re
import time

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from via_state import telemetry
from via_state.metrics.shared_truth import SharedTruth

#: Seconds between two looks for processes that died.
LOOK_EVERY = 10.0

shared_truth = SharedTruth()
REGISTRY.register(shared_truth)


def folder() -> str | None:
    """Where the processes of this machine keep their metrics, in prometheus-client's multiprocess mode; else None."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR") or os.environ.get("prometheus_multiproc_dir")  # noqa: SIM112


def page() -> bytes:
    """The text that Prometheus reads."""
    telemetry.flush()
    if folder() is None:
        return generate_latest(REGISTRY)
    remove_ended()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(shared_truth)
    return generate_latest(registry)


def remove_ended() -> None:
    """Forget the gauges of processes that are gone: one that was killed could not do it itself."""
    path = folder()
    if path is None:
        return
    for file in glob.glob(os.path.join(glob.escape(path), "gauge_live*.db")):
        found = re.fullmatch(r"gauge_live\w*?_(\d+)\.db", os.path.basename(file))
        if found is not None and not _lives(int(found[1])):
            mark_process_dead(int(found[1]), path)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another account's
        return True
    return True


_looked = 0.0


@telemetry.LoopBeat.subscribe
def _(event: telemetry.LoopBeat) -> None:
    global _looked
    if folder() is not None and time.monotonic() - _looked > LOOK_EVERY:
        _looked = time.monotonic()
        remove_ended()


@atexit.register
def _mark_dead() -> None:
    path = folder()
    if path is not None:
        mark_process_dead(os.getpid(), path)  # type: ignore[no-untyped-call]
