"""What a projection and a copy of a cell have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from via_state.core.visibility import Shown
from via_state.exceptions import Closed
from via_state.pod.reading.subscribers import Subscribers
from via_state.pod.reading.waiters import Waiters
from via_state.runtime.single_flight import Rest, SingleFlight

W = TypeVar("W")
#: Called on the loop after a look at the backplane, with the replica, and whether its marker is another one than before.
Looked: TypeAlias = "Callable[[Replica[Any], bool], None]"

#: Seconds between two looks, at most, while the server refuses: whoever reads is told so at once.
PATIENCE = 5.0


class Replica(Generic[W]):
    """One key on this pod. Idle it is a small object without a task; a ring makes it look at the backplane.

    ``W`` is what is waited for: a place in its log, or a revision; None is whatever the store has.
    """

    __slots__ = ("__weakref__", "_looked", "flight", "key", "subscribers", "used", "waiters")

    def __init__(self, key: str, looked: Looked, *, kind: str) -> None:
        self.key = key
        self._looked = looked
        self.subscribers = Subscribers()
        self.waiters: Waiters[W | None] = Waiters()
        #: When a verb asked for it last, of `time.monotonic`.
        self.used = time.monotonic()
        self.flight = SingleFlight(self._name, self._catch_up, patience=PATIENCE, kind=kind)

    def _name(self) -> str:
        raise NotImplementedError

    async def _catch_up(self) -> Rest:
        raise NotImplementedError

    @property
    def at(self) -> object:
        """Opaque marker that changes whenever this copy does; None while nothing is loaded."""
        raise NotImplementedError

    @property
    def blank(self) -> bool:
        """Whether it was looked at, and there was nothing: so it is for a key under which nothing was ever written."""
        return self.loaded and self.at is None and self.shown.halted is None

    @property
    def loaded(self) -> bool:
        """Whether there is something to hand out."""
        raise NotImplementedError

    @property
    def shown(self) -> Shown[Any]:
        """What readers have."""
        raise NotImplementedError

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What looks at the backplane now."""
        return self.flight.task

    @property
    def idle(self) -> bool:
        """Nobody waits for it, listens to it, and it does nothing: it may be evicted."""
        return self.task is None and not self.waiters and not self.subscribers

    def ring(self) -> None:
        """Something may have changed: look. On the loop."""
        self.flight.ring()

    def hurry(self) -> None:
        """Look now: somebody waits for it."""
        self.flight.wake()

    def look(self) -> asyncio.Future[None]:
        """A future that is done when a look that begins from now on has found nothing newer. It raises where the key can't be followed."""
        future = self.waiters.add(None)
        self.hurry()
        return future

    def stop(self) -> None:
        """Look no more. Those who wait are told."""
        self.flight.stop()
        self.waiters.refuse(lambda: Closed("The pod was closed."))
