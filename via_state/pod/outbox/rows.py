"""The statements on outbox records. Each is one, on one table, outside of a transaction. On a database thread."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db.models import IntegerField
from django.db.models.functions import Length, Now

from via_state.conf import settings
from via_state.core.batching import Queued
from via_state.core.records import Position
from via_state.pod.outbox.lanes import lane_of
from via_state.pod.pins import slot_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet

    from via_state.models import OutboxRecord

#: Of a row's `status`.
WAITING, ASIDE, DISCARDED = "waiting", "aside", "discarded"
#: What a row that no append was begun for says of one.
UNCLAIMED: dict[str, Any] = {"batch": None, "epoch": "", "offset": 0, "record_id": ""}


class Claimed(NamedTuple):
    """A row of an append that was begun. ``after`` is where the head of its log was before."""

    id: int
    key: str
    records: int
    data: bytes
    after: Position


class Backlog(NamedTuple):
    """What is in the outbox: rows that wait, by the age of each lane's oldest in seconds, how many in all; rows set aside."""

    lanes: dict[int, float]
    waiting: int
    aside: int

    @property
    def oldest(self) -> float:
        """Seconds; 0 when nothing waits."""
        return max(self.lanes.values(), default=0.0)


def add(key: str, count: int, data: bytes) -> int:
    """Insert a row, in the caller's transaction. Returns its lane."""
    from via_state.models import OutboxRecord  # models load after this module does

    lane = lane_of(key)
    row = OutboxRecord(
        prefix=settings.PREFIX, lane=lane, slot=slot_of(key), key=key, count=count, data=data, created=Now()
    )
    row.save(using=settings.DATABASE, force_insert=True)
    return lane


def waiting_lanes() -> dict[int, float]:
    """The lanes in which something waits, with the age of the oldest in seconds."""
    found: dict[int, float] = {}
    after = -1
    rows = _waiting().order_by("lane", "id").values_list("lane", "created", Now())
    while (row := rows.filter(lane__gt=after).first()) is not None:
        after, created, now = row
        found[after] = max(_seconds(created, now), 0.0)
    return found


def waits(lane: int) -> bool:
    """Whether anything waits in a lane."""
    return _waiting().filter(lane=lane).exists()


def backlog() -> Backlog:
    """Everything that there is to see."""
    lanes = waiting_lanes()
    return Backlog(lanes, _waiting().count() if lanes else 0, set_aside().count())


def page(lane: int, without: Collection[str], limit: int) -> list[Queued[str]]:
    """The first rows of a lane, without those of some slots."""
    rows = _waiting().filter(lane=lane).exclude(slot__in=without) if without else _waiting().filter(lane=lane)
    size = Length("data", output_field=IntegerField())
    found = rows.order_by("id").values_list("id", "key", "batch", "count", size)[:limit]
    return [Queued(*row) for row in found]


def claim(lane: int, slot: str, first: int, last: int, batch: UUID, after: Position) -> bool:
    """Say that the rows of one key, from one to another, are one append. False when there is none."""
    rows = _waiting().filter(lane=lane, slot=slot, pk__range=(first, last), batch=None)
    epoch, offset, record_id = after
    return bool(rows.update(batch=batch, epoch=epoch, offset=offset, record_id=record_id))


def claimed(lane: int, batch: UUID, first: int, last: int | None) -> list[Claimed]:
    """The rows of an append, in order."""
    rows = _of(lane, batch, first, last).order_by("id")
    found = rows.values_list("id", "key", "count", "data", "epoch", "offset", "record_id")
    return [
        Claimed(pk, key, count, bytes(data), Position(epoch, offset, record_id))
        for pk, key, count, data, epoch, offset, record_id in found
    ]


def unclaim(lane: int, batch: UUID, first: int, last: int) -> None:
    """Nothing of this append was sent: its rows may be put together differently."""
    _of(lane, batch, first, last).update(**UNCLAIMED)


def remove(lane: int, batch: UUID, first: int, last: int) -> None:
    """The rows are in the log."""
    rows = _of(lane, batch, first, last)
    rows._raw_delete(rows.db)  # `delete` would open a transaction around the statement


def put_aside(lane: int, batch: UUID, first: int, last: int, error: str) -> None:
    """The rows can't be appended."""
    _of(lane, batch, first, last).update(status=ASIDE, error=error, set_aside_at=Now(), **UNCLAIMED)


def set_aside() -> QuerySet[OutboxRecord]:
    """The rows that were set aside."""
    return _all().filter(status=ASIDE)


def _of(lane: int, batch: UUID, first: int, last: int | None) -> QuerySet[OutboxRecord]:
    rows = _waiting().filter(lane=lane, batch=batch, pk__gte=first)
    return rows if last is None else rows.filter(pk__lte=last)


def _waiting() -> QuerySet[OutboxRecord]:
    return _all().filter(status=WAITING)


def _all() -> QuerySet[OutboxRecord]:
    from via_state.models import OutboxRecord

    return OutboxRecord.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)


def _seconds(before: datetime, now: datetime) -> float:
    return (now - before).total_seconds()
