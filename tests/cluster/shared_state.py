"""The state that the worker processes share."""

from __future__ import annotations

import msgspec

from via_state import State, StateApp, StateAppEvents

PRIME = 2**61 - 1
LANES = 100


class Step(msgspec.Struct, frozen=True):
    """Folds into a number that depends on every step and on their order."""

    number: int

    def fold(self, digest: int) -> int:
        return (digest * 1_000_003 + self.number + 1) % PRIME


def digest(numbers: list[int]) -> int:
    """What steps of these numbers, in this order, fold into."""
    value = 0
    for number in numbers:
        value = Step(number).fold(value)
    return value


class Shared(State):
    steps = StateAppEvents(Step, key="cluster.steps")
    lane = StateAppEvents(Step, key="cluster.lane.{lane}", snapshot_interval=0)
    total = StateApp(int, key="cluster.total")
