"""The rows of the database that say where something stands in a log, when the log was copied."""

from __future__ import annotations

from django.db.models import QuerySet

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.snapshots import log_hash
from via_state.conf import settings
from via_state.core.records import Position
from via_state.models import DeadLetter, HandlerPosition, SnapshotRow
from via_state.operations.copy_backplane import CopiedLog


def offsets_of(key: str) -> set[int]:
    """Every offset of a log that a row names."""
    found: set[int] = set()
    for row in _snapshots(key):
        found |= {row.offset, row.candidate, row.compactable}
    found.update(_positions(key).values_list("offset", flat=True))
    found.update(_letters(key).values_list("offset", flat=True))
    return found - {0}


def translate(key: str, copied: CopiedLog) -> int:
    """Let all rows of the old epoch speak of the new log; returns how many do. What can't be found there stays as it is."""
    places, count = copied.places, 0
    with tables.atomic():
        for row in _snapshots(key).filter(epoch=copied.old_epoch).select_for_update():
            if row.offset and row.offset not in places:
                continue
            row.log_hash, row.epoch = log_hash(settings.PREFIX, key, copied.new_epoch), copied.new_epoch
            row.offset, row.record_id = _place(places, row.offset)
            row.candidate, row.candidate_record_id = _place(places, row.candidate)
            row.compactable, row.compactable_record_id = _place(places, row.compactable)
            row.candidate_data = row.candidate_data if row.candidate else None
            row.compactable_data = row.compactable_data if row.compactable else None
            row.compacted = _place(places, row.compacted)[0] or row.compacted
            tables.save(row)
            count += 1
        for position in _positions(key).filter(epoch=copied.old_epoch).select_for_update():
            if position.offset in places or not position.offset:
                position.epoch = copied.new_epoch
                position.offset, position.record_id = _place(places, position.offset)
                tables.save(position)
                count += 1
        for letter in _letters(key).filter(epoch=copied.old_epoch, offset__in=list(places)).select_for_update():
            letter.epoch = copied.new_epoch
            letter.offset, letter.record_id = _place(places, letter.offset)
            tables.save(letter)
            count += 1
    return count


def _place(places: dict[int, Position], offset: int) -> tuple[int, str]:
    at = places.get(offset)
    return (0, "") if at is None else (at.offset, at.record_id)


def _snapshots(key: str) -> QuerySet[SnapshotRow]:
    return tables.snapshots.rows().filter(key=key)


def _positions(key: str) -> QuerySet[HandlerPosition]:
    return tables.positions.rows().filter(handler__in=tables.handlers.rows().values("pk"), key=key)


def _letters(key: str) -> QuerySet[DeadLetter]:
    return tables.dead_letters.rows().filter(key=key)
