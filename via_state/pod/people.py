"""The people on one process, for one list of who is here."""

from __future__ import annotations

import time

from via_state.core.presence import Present, Rolls
from via_state.core.specs import CellSpec


class Person:
    """Somebody with tabs on this process, or who had some just now."""

    __slots__ = ("asleep", "id", "since", "tabs", "until", "user")

    def __init__(self, id: str, user: str) -> None:
        self.id, self.user, self.since = id, user, time.time()
        self.tabs = 0
        self.asleep = False
        #: By `time.monotonic`: until when they are here although no tab is.
        self.until = float("inf")

    def present(self) -> Present:
        """As others are told."""
        return Present(self.id, self.user, self.since, 0 if self.asleep else max(1, self.tabs))


class PeopleHere:
    """What this process knows of one list."""

    def __init__(self, spec: CellSpec[Rolls]) -> None:
        self.spec = spec
        self.people: dict[str, Person] = {}
        self.read = float("-inf")
        #: Whether something changed that is not written; when that is due; when it was written last. By `time.monotonic`.
        self.dirty = False
        self.due = self.written = float("-inf")
        self.ours = False  # whether our roll is in the cell

    def changed(self, gather: float, apart: float) -> None:
        """Somebody came or went: that is written in ``gather`` seconds, ``apart`` after the last time at the earliest."""
        if not self.dirty:
            self.dirty = True
            self.due = max(time.monotonic() + gather, self.written + apart)
