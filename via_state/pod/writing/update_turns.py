"""Whose turn it is: the updates of one cell that a process makes come one after the other instead of in each other's way."""

from __future__ import annotations

import asyncio

#: Seconds after which whoever has the turn loses it to the next one: its function takes its time, or waits for one of ours.
LONGEST = 0.1


class UpdateTurns:
    """First come, first served. A courtesy and no lock: who has waited for as long as it cares to begins all the same, and the
    backplane decides then who was first. So it needs no care either where threads race for a turn that is free.

    Turns are the updates themselves. All on the loop, but `take_free`.
    """

    __slots__ = ("_timer", "_waiting", "holder")

    def __init__(self) -> None:
        self.holder: object | None = None
        self._waiting: dict[object, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take_free(self, update: object) -> bool:
        """Whether the turn is ``update``'s, because it was nobody's. From any thread."""
        if self.holder is None:
            self.holder = update
        return self.holder is update

    async def take(self, update: object, seconds: float) -> None:
        """Wait until it is ``update``'s turn, for ``seconds`` at most."""
        if self.take_free(update):
            return
        granted = self._waiting[update] = asyncio.get_running_loop().create_future()
        self._next()  # whoever left meanwhile, on another thread, saw nobody waiting
        try:
            await asyncio.wait([granted], timeout=seconds)
        finally:
            self._waiting.pop(update, None)

    def leave(self, update: object) -> None:
        """No round of ``update`` follows. Harmless where it has no turn."""
        if self.holder is update:
            self.holder = None
            self._next()

    def _next(self) -> None:
        if self.holder is None and self._waiting:
            self._stop_timer()
            self.holder = next(iter(self._waiting))
            self._waiting.pop(self.holder).set_result(None)
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST, self._pass_on, self.holder)

    def _pass_on(self, holder: object) -> None:
        self._timer = None
        if self.holder is holder:
            self.holder = None
        self._next()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
