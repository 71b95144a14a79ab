"""What a backplane pushes: doorbells, which say that a key may have changed, and the messages of a topic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from via_state.core.records import Position

#: Called with the key that may have changed, or with None for "anything may have". Must not block.
Ring = Callable[[str | None], None]
#: Called with the data of a message. Must not block.
Hear = Callable[[bytes], None]


#: Whether a position of a key's log is folded here already, and all before it.
Has = Callable[[str, Position], bool]


class Watch(ABC):
    """A subscription to the doorbells of some keys. Rings may be lost, late or doubled."""

    #: Set by whoever watches. An adapter that knows up to which position of a log it rings asks first, and need not ring where that is so.
    has: Has | None = None

    @abstractmethod
    def add(self, key: str) -> None:
        """Ring for ``key`` from now on. Returns at once; the subscription may take a moment to hold."""

    @abstractmethod
    def discard(self, key: str) -> None:
        """No longer ring for ``key``. Unknown keys are ignored."""

    @abstractmethod
    async def close(self) -> None:
        """End the subscription. Closing twice is harmless."""


class Hearing(ABC):
    """What one callable hears of one topic."""

    @abstractmethod
    async def holds(self) -> None:
        """Return when it holds: what is published from now on is heard, until a connection breaks. Waits as long as it takes."""

    @abstractmethod
    async def close(self) -> None:
        """Hear no more. Closing twice is harmless."""
