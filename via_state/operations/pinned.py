"""How many logs there are by what keeps their records from being discarded."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from via_state.core.records import LogBounds
from via_state.declarations.catalog import concrete_logs
from via_state.operations.logs import Selected
from via_state.operations.reports import holds
from via_state.pod.pod import Pod

#: Logs that are looked at; seconds for which the answer serves: it changes slowly.
LOGS, FRESH = 2_000, 60.0

Figures: TypeAlias = "dict[tuple[str, ...], float]"
#: Until when (monotonic) an answer serves, by prefix.
_known: dict[str, tuple[float, Figures]] = {}


async def pinned(pod: Pod, prefix: str, heads: Mapping[str, LogBounds]) -> Figures:
    """By declared key and kind of `RetentionHold`. On the pod's loop."""
    until, figures = _known.get(prefix, (0.0, {}))
    if time.monotonic() >= until:
        figures = await pod.database.run(_count, pod, heads)
        _known[prefix] = time.monotonic() + FRESH, figures
    return figures


def _count(pod: Pod, heads: Mapping[str, LogBounds]) -> Figures:
    declared = [(one.wire(), one) for one in concrete_logs()]
    logs = (
        Selected(key, head, next((one for wire, one in declared if wire.reads(key)), None))
        for key, head in heads.items()
        if head.position.offset
    )
    found: Counter[tuple[str, ...]] = Counter()
    for log, hold in holds(pod, itertools.islice(logs, LOGS)):
        found["undeclared" if log.definition is None else log.definition.wire().text, hold.by] += 1
    return {labels: float(count) for labels, count in found.items()}
