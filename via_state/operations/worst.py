"""The logs that need somebody first, found from the books alone: however many logs there are, only these are looked at."""

from __future__ import annotations

from collections.abc import Iterator

from via_state.declarations.catalog import concrete_logs
from via_state.operations import condition as books
from via_state.operations.logs import Selected
from via_state.pod.pod import Pod


def worst(pod: Pod, number: int) -> Iterator[Selected]:
    """At most ``number`` logs that are halted, or have a handler that is halted or stuck: in this order, and of each those that are so for longest."""
    condition = books.read(number)
    stuck = sorted((one for one in condition.troubles if not one.halted), key=lambda one: -one.age)
    keys = [
        *(one.key for one in condition.halts),
        *(one.at.key for one in condition.troubles if one.halted),
        *(one.at.key for one in stuck),
    ]
    chosen = list(dict.fromkeys(keys))[:number]
    heads = pod.thread.call(pod.backplane.heads(chosen))
    declared = list(concrete_logs())
    for key in chosen:
        if (head := heads.get(key)) is not None:
            yield Selected(key, head, next((one for one in declared if one.wire().reads(key)), None))
