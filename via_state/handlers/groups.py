"""Which of the records that a handler is given are delivered in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from via_state.bookkeeping.positions import SUSPECT, Claim, together
from via_state.core.delivery import Record, Treatment


class Groups:
    """Groups of at most ``most`` records, by their indices. One that failed, or that may have ended its worker, is alone."""

    def __init__(self, records: Sequence[Record], claim: Claim, most: int) -> None:
        self._records, self._claim, self._most = records, claim, most

    def at(self, index: int) -> list[int]:
        """The group that begins with a record that is to be delivered."""
        claim = self._claim
        careful = claim.attempts or claim.last_error == SUSPECT
        if self._most == 1 or careful or self._records[index].position.offset <= claim.alone_until:
            return [index]
        group: list[int] = []
        for at in range(index, len(self._records)):
            treatment = self._records[at].treatment
            if treatment is Treatment.DELIVER:
                group.append(at)
            if len(group) == self._most or treatment not in (Treatment.DELIVER, Treatment.PASS):
                break
        return group

    def mark(self, group: list[int]) -> int:
        """What is announced for it: see `Claim.in_flight_offset`."""
        last = self._records[group[-1]].position.offset
        return last if len(group) == 1 else together(last)

    def mark_after(self, group: list[int]) -> int:
        """What is announced for the group after this one, 0 where none is."""
        for at in range(group[-1] + 1, len(self._records)):
            treatment = self._records[at].treatment
            if treatment in (Treatment.DELIVER, Treatment.BLOCK):
                return self.mark(self.at(at)) if treatment is Treatment.DELIVER else 0
        return 0
