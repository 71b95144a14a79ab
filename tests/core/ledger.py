"""What the events of these tests fold: a ledger that keeps every entry, so that a loss, a double or a swap shows."""

from __future__ import annotations

import msgspec

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.specs import LogSpec

Ledger = tuple[int, ...]


class Faults:
    """What goes wrong at the moment; folds look at it only to stand for code that fails and is repaired."""

    def __init__(self) -> None:
        self.folds_raise = False


faults = Faults()


class Entered(msgspec.Struct, frozen=True):
    """Version 1 called its number ``n``."""

    event_version = 2
    event_upcasters = {1: lambda payload: {"number": payload["n"]}}

    number: int
    fragile: bool = False

    def fold(self, ledger: Ledger) -> Ledger:
        if self.fragile and faults.folds_raise:
            raise ZeroDivisionError(f"no entry {self.number}")
        return (*ledger, self.number)


class EnteredLater(msgspec.Struct, frozen=True):
    """The same event in the next release of the code."""

    event_name = "Entered"
    event_version = 3
    event_upcasters = {1: lambda payload: {"number": payload["n"]}, 2: lambda payload: payload}

    number: int
    fragile: bool = False

    def fold(self, ledger: Ledger) -> Ledger:
        if self.fragile and faults.folds_raise:
            raise ZeroDivisionError(f"no entry {self.number}")
        return (*ledger, self.number)


def ledger_spec(event: type = Entered) -> LogSpec[Ledger]:
    return LogSpec("ledger", EventCodec([EventType.of(event)], retired=["Withdrawn"]), tuple)
