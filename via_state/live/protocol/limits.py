"""What a tab may send, and how much may be under way to it."""

from __future__ import annotations

from collections import deque

#: Messages that a tab may send in a burst, and per second for long.
MESSAGES_BURST, MESSAGES_RATE = 20, 5.0
#: Bytes that may be under way to a tab before it acknowledges.
WINDOW_BYTES = 256 * 1024


class TokenBucket:
    """Allows ``burst`` at once, and ``rate`` per second for long. Times are seconds of any clock that does not run backwards."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._at = burst, now

    def take(self, now: float, amount: float = 1) -> bool:
        """Whether ``amount`` is allowed now; it is taken if it is."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Window:
    """The messages to one tab that it has not acknowledged, from the welcome on. The client does so after 16 or 64 KiB."""

    __slots__ = ("_acknowledged", "_bytes", "_messages", "_sizes", "open")

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._acknowledged = 0
        #: Whether another message may be sent. One that is larger than the window goes alone.
        self.open = messages > 0

    @property
    def unacknowledged(self) -> int:
        return len(self._sizes)

    def sent(self, size: int) -> None:
        """A message of ``size`` bytes was sent."""
        sizes = self._sizes
        sizes.append(size)
        self._bytes += size
        self.open = len(sizes) < self._messages and self._bytes < WINDOW_BYTES

    def acknowledge(self, count: int) -> bool:
        """The tab has received ``count`` messages since it connected. False if it can't have, or said more before."""
        new = count - self._acknowledged
        if not 0 <= new <= len(self._sizes):
            return False
        for _ in range(new):
            self._bytes -= self._sizes.popleft()
        self._acknowledged = count
        self.open = len(self._sizes) < self._messages and self._bytes < WINDOW_BYTES
        return True
