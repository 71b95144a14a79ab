"""Claims of a worker's handlers, many in one transaction: while one is under way, those that are wanted meanwhile gather."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

from via_state.bookkeeping.positions import Claim, HandlerId, Held, PositionStore
from via_state.exceptions import Closed
from via_state.runtime.worker_threads import WorkerThreads

#: Positions in one transaction.
TOGETHER = 100


class _Wish(NamedTuple):
    key: str
    idle_at: int | None
    answer: asyncio.Future[Claim | Held | None]


class Claims:
    """Takes positions for ``worker`` on ``threads`` of its own: a claim never waits for a handler that runs. All on the loop."""

    def __init__(self, store: PositionStore, worker: str, threads: WorkerThreads) -> None:
        self._store, self._worker, self._threads = store, worker, threads
        self._wishes: dict[HandlerId, list[_Wish]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    async def take(self, handler: HandlerId, key: str, idle_at: int | None = None) -> Claim | Held | None:
        """One position: claimed, or held by somebody else, or None where the handler was retired.

        ``idle_at``: also from somebody who delivers nothing, while it stands at this offset. Raises what the store raises.
        """
        wish = _Wish(key, idle_at, asyncio.get_running_loop().create_future())
        self._wishes[handler].append(wish)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await wish.answer

    async def _run(self) -> None:
        await asyncio.sleep(0)  # those that are wanted at the same moment come along
        while self._wishes:
            handler, wishes = next(iter(self._wishes.items()))
            del self._wishes[handler]
            if rest := wishes[TOGETHER:]:
                self._wishes[handler] = rest  # after those of the other handlers
            await self._take(handler, wishes[:TOGETHER])
        self._task = None

    async def _take(self, handler: HandlerId, wishes: list[_Wish]) -> None:
        keys = [one.key for one in wishes]
        idle = {one.key: one.idle_at for one in wishes if one.idle_at is not None}
        error: Exception | None = None
        found: dict[str, Claim | Held] = {}
        try:
            found = await self._threads.run(self._store.claim, handler, keys, self._worker, idle)
        except Exception as raised:
            error = raised
        for one in wishes:
            if one.answer.done():
                continue  # cancelled
            if error is None:
                one.answer.set_result(found.get(one.key))
            else:
                one.answer.set_exception(error)

    def close(self) -> None:
        """Nothing more is claimed."""
        for wishes in self._wishes.values():
            for one in wishes:
                if not one.answer.done():
                    one.answer.set_exception(Closed("The worker ends."))
        self._wishes.clear()
