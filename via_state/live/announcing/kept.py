"""What this process said lately, for those who did not hear it. Pure: times are given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

#: Announcements that are kept, and their bytes.
MOST, MOST_BYTES = 1000, 4_000_000
#: Seconds until a number is said again that several ask for.
PAUSE = 1.0


class Kept:
    """A short memory."""

    def __init__(self) -> None:
        self._said: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self._again: dict[int, float] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._said)

    def add(self, number: int, data: bytes, now: float) -> None:
        """Keep it."""
        self._said[number] = now, data
        self._bytes += len(data)
        while len(self._said) > MOST or self._bytes > MOST_BYTES:
            self._forget_first()

    def forget(self, before: float) -> None:
        """Forget what was said before then."""
        while self._said and next(iter(self._said.values()))[0] < before:
            self._forget_first()

    def _forget_first(self) -> None:
        number, (_, data) = self._said.popitem(last=False)
        self._again.pop(number, None)
        self._bytes -= len(data)

    def asked(self, numbers: Iterable[int], now: float) -> Iterator[bytes]:
        """What to say again, in the order of the numbers. What several ask for is said once."""
        for number in sorted(set(numbers)):
            found = self._said.get(number)
            if found is not None and now - self._again.get(number, -PAUSE) >= PAUSE:
                self._again[number] = now
                yield found[1]
