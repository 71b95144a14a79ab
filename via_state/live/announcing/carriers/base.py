"""The contract of a carrier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from via_state.backplanes.base import Hear

#: What announcements are sealed for.
TOPIC = "b"


class Carrier(ABC):
    """All on the pod's loop."""

    #: As ``BROADCAST`` names it.
    name: ClassVar[str]
    #: The longest data that `publish` takes.
    max_bytes: int

    @abstractmethod
    async def publish(self, data: bytes) -> None:
        """Say it to every process that hears, this one too. Raises whatever the server's client raises; then it may have been said."""

    @abstractmethod
    def hear(self, hear: Hear) -> None:
        """Call ``hear`` with what processes of this project say from now on, until `close`. Called once."""

    async def holds(self) -> None:  # noqa: B027  # where nothing can be lost
        """Return when it is heard what is published from now on."""

    @abstractmethod
    async def close(self) -> None:
        """Hear no more, and give back what was opened."""
