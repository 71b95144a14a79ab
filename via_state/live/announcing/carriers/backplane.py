"""Over the backplane of ``VIA_STATE``: NATS, or PostgreSQL's NOTIFY."""

from __future__ import annotations

from via_state.backplanes.base import Hear, Hearing
from via_state.live.announcing.carriers.base import TOPIC, Carrier
from via_state.pod.messages import Messages


class BackplaneCarrier(Carrier):
    """Sealing, and hearing again after a cut, are the pod's."""

    name = "backplane"

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._hearing: Hearing | None = None

    @property
    def max_bytes(self) -> int:  # type: ignore[override]  # known when the server was asked
        return self._messages.max_bytes

    async def publish(self, data: bytes) -> None:
        await self._messages.publish(TOPIC, data)

    def hear(self, hear: Hear) -> None:
        self._hearing = self._messages.hear(TOPIC, hear)

    async def holds(self) -> None:
        if self._hearing is not None:
            await self._hearing.holds()

    async def close(self) -> None:
        if self._hearing is not None:
            await self._hearing.close()
