"""What it would mean to let an event handler resume elsewhere in its log."""

from __future__ import annotations

from dataclasses import dataclass

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.positions import AWAY, BLOCKED
from via_state.core.records import Position
from via_state.models import HandlerPosition
from via_state.operations.positions import find_position


@dataclass(frozen=True, slots=True)
class Move:
    """A position, and where it would be moved to: ``position``, or the log's beginning, wherever that is (``from_floor``).

    ``ahead``: the events that would be delivered from there on. ``again``: those of them that the handler has had.
    ``skipped``: those that it has not had and would never get. Both are None where it stood in another history.
    """

    row: HandlerPosition
    position: Position
    from_floor: bool
    ahead: int
    again: int | None
    skipped: int | None

    @property
    def allowed(self) -> bool:
        """Whether this is what resuming is for: the handler is halted, or blocked and would resume after what blocks it."""
        held_up = self.row.last_error.startswith((AWAY, BLOCKED))  # others fail, or ask for time
        blocked = self.row.stuck_since is not None and not self.row.attempts and held_up
        return bool(self.row.halted) or (blocked and not self.again)

    @property
    def text(self) -> str:
        """Where it resumes, and how many events that means."""
        place = "with the first record" if self.from_floor else f"after offset {self.position.offset:,}"
        parts = [f"{_events(self.ahead)} to handle"]
        if self.again:
            parts.append(f"{self.again:,} of them for the second time")
        if self.skipped:
            parts.append(f"{_events(self.skipped)} never to be handled")
        return f"{place}: {', '.join(parts)}"


async def plan(backplane: Backplane, row: HandlerPosition, where: str) -> Move:
    """What "first", "head" or an offset would mean. Raises ValueError for an offset that the log does not have."""
    head = await backplane.head(row.key)
    position, from_floor = await find_position(backplane, row.key, where)
    start = max(position.offset, head.floor.offset)
    ahead = await backplane.count(row.key, start, head)
    if row.halted == "history" or (row.epoch and row.epoch != head.position.epoch):
        return Move(row, position, from_floor, ahead, None, None)
    left = await backplane.count(row.key, max(row.offset, head.floor.offset), head)
    return Move(row, position, from_floor, ahead, max(0, ahead - left), max(0, left - ahead))


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
