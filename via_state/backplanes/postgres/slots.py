"""Who may use one of the few connections next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

#: Of so many slots that become free while both wait, one is a read's.
READ_EACH = 4


class Slots:
    """``size`` at once. Where several wait, writes go before reads: somebody waits for a write, and most reads are the pod's own
    work. Each fourth slot is a read's all the same.
    """

    def __init__(self, size: int) -> None:
        self.size = self._free = size
        self._writes: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._reads: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._given = 0

    async def take(self, *, write: bool, seconds: float | None = None) -> None:
        """Wait for a slot; raises TimeoutError after ``seconds``."""
        if self._free:
            self._free -= 1
            return
        queue = self._writes if write else self._reads
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[mine] = None
        try:
            async with asyncio.timeout(seconds):
                await mine
        except BaseException:
            queue.pop(mine, None)
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self.give()  # it came at the last moment
            raise

    def give(self) -> None:
        """A slot is free again."""
        while (queue := self._next()) is not None:
            waiter, _ = queue.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                self._given += 1
                return
        self._free += 1

    def _next(self) -> OrderedDict[asyncio.Future[None], None] | None:
        if self._writes and not (self._reads and self._given % READ_EACH == READ_EACH - 1):
            return self._writes
        return self._reads or None

    def end(self, error: Callable[[], Exception]) -> None:
        """Nobody gets one any more: whoever waits gets an error."""
        for queue in (self._writes, self._reads):
            for waiter in queue:
                if not waiter.done():
                    waiter.set_exception(error())
            queue.clear()
