"""The number of events after a position of a log, for the rows of one page. A backplane that does not answer costs a moment, not
the page.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from via_state.backplanes.base import Backplane
from via_state.exceptions import ViaStateError
from via_state.models import HandlerPosition
from via_state.pod.default import current_pod

TIMEOUT = 2.0  # seconds, for all together


class Place(NamedTuple):
    """Where something stands in a log; before its first record without an epoch and an offset."""

    key: str
    epoch: str = ""
    offset: int = 0


def place_of(row: HandlerPosition) -> Place:
    """Where an event handler stands."""
    return Place(row.key, row.epoch, row.offset)


def lags_of(places: Iterable[Place]) -> dict[Place, int]:
    """The number of events after each of these positions. Left out where that can't be told: no answer in time, or another history of the log."""
    wanted: dict[str, set[Place]] = defaultdict(set)
    for place in places:
        wanted[place.key].add(place)
    if not wanted:
        return {}
    try:
        pod = current_pod()
        return pod.thread.call(_ask(pod.backplane, wanted))
    except ViaStateError:  # the process is ending
        return {}


async def _ask(backplane: Backplane, wanted: dict[str, set[Place]]) -> dict[Place, int]:
    found: dict[Place, int] = {}
    left = iter(sorted(wanted))

    async def ask() -> None:
        for key in left:
            try:
                head = await backplane.head(key)
                for place in wanted[key]:
                    if place.epoch in ("", head.position.epoch):
                        found[place] = await backplane.count(key, place.offset, head)
            except ViaStateError:
                return  # it would not answer the others either

    asking = [asyncio.ensure_future(ask()) for _ in range(4)]
    _, late = await asyncio.wait(asking, timeout=TIMEOUT)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=TIMEOUT / 4)
    return found
