"""Whether a log still holds what a snapshot covers: asked before anybody relies on it."""

from __future__ import annotations

from collections.abc import Iterable

from via_state.backplanes.base import Backplane
from via_state.core.records import Position
from via_state.exceptions import BackplaneUnavailable


async def holds(backplane: Backplane, key: str, position: Position) -> bool:
    """Whether the log holds the record at a position, by its leader. Raises `BackplaneUnavailable`."""
    batch = await backplane.read(key, position, 1)
    if batch.proves(position):
        return True
    if not batch.authoritative:
        raise BackplaneUnavailable(f"Only a replica answered for {key!r}; its leader must.")
    return False


async def held(backplane: Backplane, key: str, positions: Iterable[Position]) -> frozenset[Position]:
    """Those of the positions whose records the log holds."""
    return frozenset([one for one in {*positions} if await holds(backplane, key, one)])
