"""What a process has rung itself: such a doorbell comes back to it as well, and tells it nothing where it has folded its own append."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from via_state.core.records import Position

#: NOTIFYs that are remembered until they come back.
REMEMBERED = 16
_NOTHING: Mapping[str, Position] = {}


class OwnRings:
    """The last NOTIFYs of one connection, by their payloads."""

    def __init__(self) -> None:
        self._pid = 0
        self._sent: OrderedDict[str, Mapping[str, Position]] = OrderedDict()

    def begin(self, pid: int) -> None:
        """They are sent by another one of the server's processes from now on."""
        self._pid = pid
        self._sent.clear()

    def send(self, payload: str, through: Mapping[str, Position | None]) -> None:
        """A NOTIFY is sent. ``through``: the last record that it rings for, by the keys' names, where that is known. Of two with the same
        payload the later one counts: whoever has what that rings for has it all.
        """
        self._sent[payload] = {name: position for name, position in through.items() if position is not None}
        self._sent.move_to_end(payload)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def through(self, pid: int, payload: str) -> Mapping[str, Position]:
        """What `send` was told of a NOTIFY that is heard; nothing of those of others."""
        return self._sent.get(payload, _NOTHING) if pid == self._pid else _NOTHING


def latest(one: Position | None, other: Position | None) -> Position | None:
    """Up to where a doorbell rings that rings for both; None where nobody can tell."""
    if one is None or other is None or one.epoch != other.epoch:
        return None
    return max(one, other)
