"""What was heard of each sender, what is missing, and what came twice. Pure: times are given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

#: Senders that are remembered; the one that was silent for longest is forgotten.
SENDERS = 10_000
#: Numbers that may be missing of one sender. Of a larger gap the older part is lost.
MISSING = 1000


class _Sender:
    __slots__ = ("highest", "missing")

    def __init__(self, highest: int) -> None:
        self.highest = highest
        self.missing: dict[int, float] = {}  # number, since when


class Sequences:
    """Senders number what they say, without gaps. A number that is missing for ``patience`` seconds is lost."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        #: How many were missing and are lost, or came after all.
        self.lost = self.found = 0

    def take(self, sender: str, number: int, now: float) -> bool:
        """Whether this number was not heard before. What lies before the first number of a sender is not missed."""
        known = self._senders.get(sender)
        if known is None:
            self._senders[sender] = _Sender(number)
            if len(self._senders) > SENDERS:
                self._senders.popitem(last=False)
            return True
        self._senders.move_to_end(sender)
        if number > known.highest:
            self._miss(known, known.highest + 1, number, now)
            known.highest = number
            return True
        if known.missing.pop(number, None) is None:
            return False
        self.found += 1
        return True

    def reached(self, sender: str, number: int, now: float) -> None:
        """A sender says that it has said so many, and nothing new."""
        known = self._senders.get(sender)
        if known is None:
            self.take(sender, number, now)
        elif number > known.highest:
            self._miss(known, known.highest + 1, number + 1, now)
            known.highest = number

    def _miss(self, known: _Sender, start: int, end: int, now: float) -> None:
        room = MISSING - len(known.missing)
        first = max(start, end - room)
        self.lost += first - start
        known.missing.update(dict.fromkeys(range(first, end), now))

    def missing(self, now: float, age: float) -> Iterator[tuple[str, list[int]]]:
        """What each sender said at least ``age`` seconds ago and was not heard."""
        for sender, known in self._senders.items():
            numbers = [number for number, since in known.missing.items() if now - since >= age]
            if numbers:
                yield sender, numbers

    def give_up(self, now: float, patience: float) -> int:
        """Count as lost what is missing for that long. How many numbers are still missing."""
        left = 0
        for known in self._senders.values():
            if known.missing:
                kept = {number: since for number, since in known.missing.items() if now - since < patience}
                self.lost += len(known.missing) - len(kept)
                known.missing = kept
                left += len(kept)
        return left
