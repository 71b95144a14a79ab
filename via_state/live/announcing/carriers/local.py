"""For one process alone."""

from __future__ import annotations

from via_state.backplanes.base import Hear
from via_state.live.announcing.carriers.base import Carrier


class LocalCarrier(Carrier):
    """Takes announcements nowhere: a process serves its own tabs itself."""

    name = "local"
    max_bytes = 1 << 20

    async def publish(self, data: bytes) -> None:
        pass

    def hear(self, hear: Hear) -> None:
        pass

    async def close(self) -> None:
        pass
