"""The proof of a cursor: what a batch says about the position it was read after.

Projections and event handlers stand at a position of a log, and must know whether what follows in the log continues what
they have. Both ask here.
"""

from __future__ import annotations

from enum import Enum

from via_state.core.records import Batch, Position


class CursorCheck(Enum):
    """What a batch says about the position it was read after. Reasons that are stored are short words."""

    CONTINUES = "the batch continues what the reader has"
    FROM_FLOOR = "the reader has nothing yet, and the first records are gone: begin after the floor"
    REWRITTEN = "history"  # the log was restored or recreated
    LOST = "gap"  # records were discarded, or are missing, that the reader has not had
    UNPROVEN = "strange evidence from a replica: read again from the leader"


def check_cursor(position: Position, batch: Batch, from_floor: bool = False) -> CursorCheck:
    """Judge the evidence of a batch that was read after ``position``.

    ``from_floor``: a reader that has nothing yet begins wherever the log begins. Any other one that lacks records never
    continues by itself.
    """
    head, floor = batch.head, batch.floor
    # A reader without a record fits into every history, until it knows which one it reads.
    begins = not position.offset and (not position.epoch or not head.offset)
    if begins or (head.epoch == position.epoch and head.offset >= position.offset):
        lost = position.offset < floor.offset
        if lost and not (from_floor and not position.offset):
            return CursorCheck.LOST  # the floor is proof enough, whoever answered
        if batch.hole:
            return CursorCheck.LOST if batch.authoritative else CursorCheck.UNPROVEN
        if lost:
            return CursorCheck.FROM_FLOOR
        if not position.offset or batch.proves(position):
            return CursorCheck.CONTINUES
    return CursorCheck.REWRITTEN if batch.authoritative else CursorCheck.UNPROVEN
