"""Listening for ever: one session with the server after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.runtime.outage import Outage
from via_state.runtime.rng import rng
from via_state.runtime.single_flight import UNEXPECTED, SingleFlight

#: Longest pauses before the next session, in seconds: while the server is away, and after a session that lasted.
LONGEST, FIRST = 1.0, 0.05


class Listening:
    """Runs ``session()``, which calls `holds` when the server has been told, and which lasts until its connection ends or breaks: it
    raises `BackplaneUnavailable` or one of ``expected``, or returns. Another one follows it, with the pauses of `SingleFlight` where
    it lasted for no time. Nobody's news depends on it, since sweeps make up for it, so that it is away is logged at debug.
    """

    def __init__(
        self, logger: logging.Logger, session: Callable[[], Awaitable[None]], expected: type[Exception]
    ) -> None:
        self._session, self._expected = session, expected
        name = "The listening for doorbells, which sweeps make up for,"
        self._outage = Outage(logger, name, "doorbells", quiet=True)
        self._flight = SingleFlight(name, self._once, cap=LONGEST, outage=self._outage)
        self._closing = False

    def start(self) -> None:
        """Somebody wants to hear."""
        if self._flight.idle:
            self._flight.ring()

    def holds(self) -> None:
        """The server was told what is wanted."""
        self._outage.answered()

    async def _once(self) -> float:
        began, why = time.monotonic(), "the connection ended"
        try:
            await self._session()
        except BackplaneUnavailable:
            if time.monotonic() - began <= UNEXPECTED and not self._closing:
                raise
        except self._expected as error:
            why = str(error)
        if self._closing:
            raise Closed("This backplane was closed.")
        if time.monotonic() - began <= UNEXPECTED:
            raise BackplaneUnavailable(f"The listening for doorbells ended: {why}")
        return FIRST * rng.random()

    async def close(self, hang_up: Callable[[], None] | None = None) -> None:
        """Return when nobody listens any more. ``hang_up`` ends a session that can't be cancelled."""
        self._closing = True
        task = self._flight.task
        if task is not None and hang_up is not None:
            hang_up()
            await asyncio.wait({task}, timeout=1.0)
        self._flight.stop()
        while task is not None and not task.done():
            task.cancel()  # nats-py swallows some
            await asyncio.wait({task}, timeout=0.1)
