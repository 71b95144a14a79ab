"""What was heard before: a sliding window, as IPsec has it (RFC 4303, 3.4.3)."""

from __future__ import annotations

#: How far back numbers may come out of order.
SIZE = 1024
_MASK = (1 << SIZE) - 1


class ReplayWindow:
    """Numbers of one sender, each of which counts once."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0  # bit n: whether the number n below the highest came

    def fresh(self, number: int) -> bool:
        """Whether ``number`` is new, and not too far below the highest one; it is not new any more then."""
        if number > self._highest:
            distance = number - self._highest
            self._seen = (self._seen << distance | 1) & _MASK if distance < SIZE else 1
            self._highest = number
            return True
        age = self._highest - number
        if age >= SIZE or self._seen >> age & 1:
            return False
        self._seen |= 1 << age
        return True
