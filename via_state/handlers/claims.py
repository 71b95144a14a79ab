"""What the runners of a worker want of the servers, many in one question: the claims of positions, and the reading of logs."""

from __future__ import annotations

import logging
from typing import NamedTuple

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.positions import Claim, HandlerId, Held, PositionStore
from via_state.core.records import Batch, Position
from via_state.exceptions import Closed
from via_state.runtime.together import Together
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.handlers")

#: Positions in one transaction; logs in one read.
CLAIMS, READS = 100, 100


class _Wish(NamedTuple):
    key: str
    idle_at: int | None


class Claims:
    """Takes positions for ``worker`` on ``threads`` of its own: a claim never waits for a handler that runs. All on the loop."""

    def __init__(self, store: PositionStore, worker: str, threads: WorkerThreads) -> None:
        self._store, self._worker, self._threads = store, worker, threads
        self._together = Together(self._claim, CLAIMS)

    async def take(self, handler: HandlerId, key: str, idle_at: int | None = None) -> Claim | Held | None:
        """One position: claimed, or held by somebody else, or None where the handler was retired.

        ``idle_at``: also from somebody who delivers nothing, while it stands at this offset. Raises what the store raises.
        """
        return await self._together.one(handler, _Wish(key, idle_at))

    async def _claim(self, handler: HandlerId, wishes: list[_Wish]) -> list[Claim | Held | None]:
        keys = [one.key for one in wishes]
        idle = {one.key: one.idle_at for one in wishes if one.idle_at is not None}
        found = await self._threads.run(self._store.claim, handler, keys, self._worker, idle)
        return [found.get(key) for key in keys]

    def close(self) -> None:
        """Nothing more is claimed."""
        self._together.close(Closed("The worker ends."))


class Reads:
    """Reads logs of ``backplane``. All on the loop."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        self._together = Together(self._read, READS)

    async def take(self, key: str, after: Position, limit: int) -> Batch:
        """What `Backplane.read` gives, and raises."""
        found = await self._together.one(limit, (key, after))
        return await self._backplane.read(key, after, limit) if found is None else found

    async def _read(self, limit: int, wishes: list[tuple[str, Position]]) -> list[Batch | None]:
        """None for what must be read alone."""
        found: dict[str, Batch] = {}
        wanted = dict(wishes)  # of one log that several handlers read, after one position
        if len(wanted) > 1:
            try:
                found = await self._backplane.read_many(wanted, limit)
            except Exception as error:  # each then raises its own
                logger.debug("%s logs could not be read together: %s", len(wanted), error)
        return [found.get(key) if wanted[key] == after else None for key, after in wishes]
