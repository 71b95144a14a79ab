"""Work that is done again and again, for as long as the process runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from via_state.runtime.outage import Outage
from via_state.runtime.rng import rng
from via_state.runtime.service import Service
from via_state.runtime.single_flight import SingleFlight


class Periodic(Service):
    """Awaits ``body()`` every ``seconds()`` seconds, up to a fifth earlier, so that processes do not work in step.

    ``name`` begins log lines. ``later``: the first time is not at once. What the body raises is treated as `SingleFlight` does; it
    never ends the service.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[], Awaitable[None]],
        seconds: Callable[[], float],
        *,
        later: bool = False,
        outage: Outage | None = None,
    ) -> None:
        self._name, self._body, self._seconds, self._skip = name, body, seconds, later
        self._flight = SingleFlight(name, self._once, outage=outage)

    @property
    def name(self) -> str:
        return self._name

    def ring(self) -> None:
        """Do it now, where the service runs."""
        if self.running:
            self._flight.ring()

    async def _once(self) -> float:
        if self._skip:
            self._skip = False
            return self._seconds() * rng.random()
        await self._body()
        return self._seconds() * rng.uniform(0.8, 1.0)

    async def _start(self) -> None:
        self._flight.ring()

    async def _stop(self) -> None:
        await self._flight.ended()
