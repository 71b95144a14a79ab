"""The state that a group follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from via_state.live.protocol.content import Watched, place
from via_state.live.protocol.vector import Vector
from via_state.pod.pod import Pod
from via_state.pod.reading.subscribers import Subscription


class Watch:
    """Subscriptions to some state, by name; each change calls ``ring()`` on this event loop. What is watched stays in memory."""

    __slots__ = ("_pod", "_ring", "_subscriptions", "_watched")

    def __init__(self, pod: Pod, ring: Callable[[], None]) -> None:
        self._pod, self._ring = pod, ring
        self._watched: dict[str, Watched] = {}
        self._subscriptions: dict[str, Subscription] = {}

    async def add(self, watched: Mapping[str, Watched]) -> bool:
        """Watch these as well. Whether any is new: what was read of it before may have moved since."""
        fresh = {name: one for name, one in watched.items() if name not in self._watched}
        self._watched.update(fresh)
        await asyncio.gather(*(self._subscribe(name, one) for name, one in fresh.items()))
        return bool(fresh)

    async def _subscribe(self, name: str, watched: Watched) -> None:
        subscription = await self._pod.subscribe(*watched, self._ring)
        # Each is kept as soon as it is there: whoever waits for all of them may be gone by then.
        if name in self._watched and name not in self._subscriptions:
            self._subscriptions[name] = subscription
        else:
            subscription.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that is watched."""
        return tuple(self._watched)

    def keep(self, names: Iterable[str]) -> None:
        """Watch nothing but these."""
        for name in self._watched.keys() - set(names):
            del self._watched[name]
            if (subscription := self._subscriptions.pop(name, None)) is not None:
                subscription.close()

    def close(self) -> None:
        """Watch nothing any more."""
        self.keep(())

    async def here(self, names: Iterable[str]) -> tuple[Vector, bool]:
        """Where these are now, and whether any of them is halted. Raises what reading them raises."""
        at, halted = {}, False
        for name in names:
            watched = self._watched[name]
            shown = await self._pod.ashown(*watched)
            at[name] = place(watched.spec, shown)
            halted |= shown.halted is not None
        return at, halted

    async def look(self, names: Iterable[str]) -> None:
        """Have the pod look at the store, so that `here` is what it has now, or newer. Takes as long as it takes."""
        await asyncio.gather(*(self._pod.alook(*self._watched[name]) for name in names))
