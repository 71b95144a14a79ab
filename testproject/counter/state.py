"""A shared number, folded from ticks."""

from __future__ import annotations

from dataclasses import dataclass

from via_state import State, StateAppEvents


@dataclass(frozen=True, slots=True)
class Tick:
    """Somebody pressed the button."""

    by: int = 1

    def fold(self, total: int) -> int:
        return total + self.by


class Counter(State):
    total = StateAppEvents(Tick, key="counter")
