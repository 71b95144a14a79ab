"""Whether an append reached its log, long after it was sent."""

from __future__ import annotations

from via_state.backplanes.base import Backplane
from via_state.core.records import Position

#: Records that are read at once.
LIMIT = 5000


async def was_appended(backplane: Backplane, key: str, append_id: str, after: Position) -> bool | None:
    """Whether the log has an append of this id after ``after``, its head before that was sent. None: it can't be told any more.

    A log of another epoch was dropped or made again since: what this append did to the one before is gone with it.
    """
    at, lost = after, False
    while True:
        batch = await backplane.read(key, at, LIMIT)
        if after.epoch and batch.head.epoch != after.epoch:
            return False
        lost = lost or batch.floor.offset > at.offset
        for pack in batch.packs:
            if pack.id == append_id:
                return True
            at = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
        if not batch.packs or at.offset >= batch.head.offset:
            return None if lost else False
