"""Where logs end now, for the rows of one page. A backplane that does not answer costs a moment, not the page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from via_state.backplanes.base import Backplane
from via_state.core.records import Head
from via_state.exceptions import ViaStateError
from via_state.pod.default import current_pod

TIMEOUT = 2.0  # seconds, for all heads together


def heads_of(keys: Iterable[str]) -> dict[str, Head]:
    """The heads of these logs; those that could not be had in time are left out."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    try:
        pod = current_pod()
        return pod.thread.call(_ask(pod.backplane, wanted))
    except ViaStateError:  # the process is ending
        return {}


async def _ask(backplane: Backplane, keys: list[str]) -> dict[str, Head]:
    found: dict[str, Head] = {}
    left = iter(keys)

    async def ask() -> None:
        for key in left:
            try:
                found[key] = await backplane.head(key)
            except ViaStateError:
                return  # it would not answer the others either

    asking = [asyncio.ensure_future(ask()) for _ in range(4)]
    _, late = await asyncio.wait(asking, timeout=TIMEOUT)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=TIMEOUT / 4)
    return found
