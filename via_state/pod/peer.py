"""This process as the others see it: a row with a lease, and a message with each renewal that tells whether doorbells get through."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from via_state.bookkeeping.peers import NO_CODE, Code, Peer, PeerStore
from via_state.conf import settings
from via_state.core.doorbell_health import DoorbellHealth, doorbell_health
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.pod.messages import Messages
from via_state.runtime.periodic import Periodic

TOPIC = "peers"
#: The first renewal comes within so many seconds: a command that ends at once leaves no trace.
FIRST = 1.0
#: Seconds that its end may wait for the books.
LEAVING = 2.0


class PeerLease(Periodic):
    """Keeps this process among the living, from the first use of its pod to its end. ``roles()`` is asked at each renewal.

    It costs one statement and one message for each third of ``PEER_LEASE``.
    """

    def __init__(
        self, pod_id: str, store: PeerStore, messages: Messages, roles: Callable[[], Iterable[str]]
    ) -> None:
        super().__init__("The row of this process", self._renew, self._pause, later=True)
        self._id, self._store, self._messages, self._roles = pod_id, store, messages, roles
        self._listed = False
        self._asked: float | None = None
        self._own: float | None = None
        self._other: float | None = None
        #: What this process runs; set before it starts.
        self.code: Callable[[], Code] = lambda: NO_CODE

    @property
    def doorbell(self) -> DoorbellHealth:
        """Whether messages get through now."""
        patience = settings.PEER_LEASE * 2 / 3
        return doorbell_health(time.monotonic(), self._asked, self._own, self._other, patience)

    def _pause(self) -> float:
        return float(settings.PEER_LEASE / 3) if self._listed else min(FIRST, settings.PEER_LEASE / 3)

    def _hear(self, data: bytes) -> None:
        if data.decode(errors="replace") == self._id:
            self._own = time.monotonic()
        else:
            self._other = time.monotonic()

    async def _renew(self) -> None:
        peer = Peer(self._id, socket.gethostname(), os.getpid(), tuple(self._roles()), self.code(), self.doorbell)
        await self._store.renew(peer, float(settings.PEER_LEASE))
        self._listed = True
        await self._say()

    async def _say(self) -> None:
        if not self._messages.max_bytes:
            return
        if self._asked is None:
            self._messages.hear(TOPIC, self._hear)
            self._asked = time.monotonic()
        with suppress(BackplaneUnavailable, OutcomeUnknown):  # whoever sweeps says so; here it shows as isolated
            await self._messages.publish(TOPIC, self._id.encode())

    async def _stop(self) -> None:
        await super()._stop()
        if self._listed:
            with suppress(BackplaneUnavailable, TimeoutError):  # its lease ends by itself
                await asyncio.wait_for(self._store.leave(self._id), LEAVING)
