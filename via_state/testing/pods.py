"""Several pods in one process, over one backplane: a cluster without processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.pod import Pod


@contextmanager
def pods(n: int, backplane: Backplane | None = None) -> Iterator[list[Pod]]:
    """``n`` pods that share ``backplane`` (a new memory backplane by default); closed at the end, as it is.

    Bind a declaration to one with ``Feed.items.using(pod)``.
    """
    shared = MemoryBackplane({}) if backplane is None else backplane
    made = [Pod(shared, owns_backplane=False) for _ in range(n)]
    try:
        yield made
    finally:
        for pod in made:
            pod.close()
        made[0].thread.call(shared.close())
