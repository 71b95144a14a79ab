"""The statements on outbox records. Each is one, on one table, outside of a transaction. On a database thread."""

from __future__ import annotations

import functools
import operator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import Case, IntegerField, Q, Value, When
from django.db.models.functions import Cast, Length, Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.outbox_lanes import lane_of
from via_state.bookkeeping.database.retention import hash_key
from via_state.core.batching import Queued
from via_state.core.records import Position

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.db.models import QuerySet

    from via_state.models import OutboxRecord

#: Of a row's `status`.
WAITING, ASIDE, DISCARDED = "waiting", "aside", "discarded"
#: Ranges of ids that one statement names.
RUNS = 16
NONE: frozenset[int] = frozenset()
#: What a row that no append was begun for says of one.
UNCLAIMED: dict[str, Any] = {"batch": None, "members": "", "epoch": "", "offset": 0, "record_id": ""}


class Claim(NamedTuple):
    """An append that begins: its id, the rows of one key that it takes, and where the head of their log is."""

    batch: UUID
    ids: Sequence[int]
    after: Position


class Claimed(NamedTuple):
    """An append that was begun. ``after`` is where the head of its log was before; ``written`` when its youngest row was."""

    batch: UUID
    ids: list[int]
    key: str
    records: int
    data: list[bytes]
    after: Position
    written: datetime


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
    lane = lane_of(key)
    tables.outbox.create(lane=lane, key_hash=hash_key(key), key=key, count=count, data=data, created=Now())
    return lane


def waiting_lanes() -> dict[int, float]:
    """The lanes in which something waits, with the age of the oldest in seconds."""
    found: dict[int, float] = {}
    after = -1
    rows = waiting().order_by("lane", "id").values_list("lane", "created", Now())
    while (row := rows.filter(lane__gt=after).first()) is not None:
        after, created, now = row
        found[after] = max(_seconds(created, now), 0.0)
    return found


def waits(lane: int) -> bool:
    """Whether anything waits in a lane."""
    return waiting().filter(lane=lane).exists()


def backlog() -> Backlog:
    """Everything that there is to see."""
    lanes = waiting_lanes()
    return Backlog(lanes, waiting().count() if lanes else 0, set_aside().count())


def page(lane: int, without: Collection[str], limit: int) -> list[Queued[str]]:
    """The first rows of a lane, without those of some key hashes."""
    rows = waiting().filter(lane=lane).exclude(key_hash__in=without) if without else waiting().filter(lane=lane)
    size = Length("data", output_field=IntegerField())
    found = rows.order_by("id").values_list("id", "key", "batch", "members", "count", size)[:limit]
    return [
        Queued(pk, key, batch, frozenset(map(int, members.split(","))) if members else NONE, count, size)
        for pk, key, batch, members, count, size in found
    ]


def claim(claims: Sequence[Claim]) -> None:
    """Say that the rows of each are one append. One whose first row is not there any more, or claimed, is left as it is."""
    columns = {
        one.ids[0]: {
            "batch": one.batch,
            "members": ",".join(map(str, one.ids)),
            "epoch": one.after.epoch,
            "offset": one.after.offset,
            "record_id": one.after.record_id,
        }
        for one in claims
    }
    rows = waiting().filter(pk__in=list(columns), batch=None)
    names = UNCLAIMED.keys()
    rows.update(
        **{name: _of_each(rows, name, {pk: of_one[name] for pk, of_one in columns.items()}) for name in names}
    )


def _of_each(rows: QuerySet[OutboxRecord], name: str, values: dict[int, Any]) -> Any:
    """The value of a column for an update of rows, by id."""
    if len(values) == 1:
        return next(iter(values.values()))
    field: Any = rows.model._meta.get_field(name)
    each = (When(pk=pk, then=Value(value, output_field=field)) for pk, value in values.items())
    chosen = Case(*each, output_field=field)
    casts = connections[rows.db].features.requires_casted_case_in_updates  # else PostgreSQL takes them for texts
    return Cast(chosen, output_field=field) if casts else chosen


def claimed(begun: Sequence[tuple[UUID, Sequence[int]]]) -> list[Claimed]:
    """The appends with their rows, in order, each by its id and those of its rows. Without one of which a row is not there any more."""
    columns = ("key", "batch", "count", "data", "created", "epoch", "offset", "record_id")
    ids = sorted(pk for _, of_one in begun for pk in of_one)
    rows = {pk: row for pk, *row in waiting().filter(_within(ids)).values_list("id", *columns)}
    found = []
    for batch, of_one in begun:
        here = [rows[pk] for pk in of_one if pk in rows]
        if len(here) < len(of_one) or here[0][1] != batch or any(row[0] != here[0][0] for row in here):
            continue
        key, _, _, _, _, epoch, offset, record_id = here[0]
        found.append(
            Claimed(
                batch,
                list(of_one),
                key,
                sum(row[2] for row in here),
                [bytes(row[3]) for row in here],
                Position(epoch, offset, record_id),
                max(row[4] for row in here),
            )
        )
    return found


def unclaim(batch: UUID, first: int) -> None:
    """Nothing of this append was sent: its rows may be put together differently."""
    waiting().filter(pk=first, batch=batch).update(**UNCLAIMED)


def remove(appended: Sequence[Claimed]) -> None:
    """The rows are in their logs."""
    rows = _rows_of(appended)
    rows._raw_delete(rows.db)  # `delete` would open a transaction around the statement


def put_aside(one: Claimed, error: str) -> None:
    """The rows can't be appended."""
    _rows_of([one]).update(status=ASIDE, error=error, set_aside_at=Now(), **UNCLAIMED)


def _rows_of(appends: Sequence[Claimed]) -> QuerySet[OutboxRecord]:
    # Not younger ones: the table may have been emptied since, and its ids given out again.
    return waiting().filter(
        _within(sorted(pk for one in appends for pk in one.ids)),
        key_hash__in=[hash_key(one.key) for one in appends],
        created__lte=max(one.written for one in appends),
    )


def _within(ids: Sequence[int]) -> Q:
    """These ids, as few ranges where they are dense: a long list takes a database and Django longer than the rows."""
    runs: list[list[int]] = []
    for pk in ids:
        if runs and pk == runs[-1][1] + 1:
            runs[-1][1] = pk
        else:
            runs.append([pk, pk])
    if len(runs) > RUNS:
        return Q(pk__in=ids)
    return functools.reduce(operator.or_, (Q(pk__range=run) for run in runs))


def set_aside() -> QuerySet[OutboxRecord]:
    """The rows that were set aside."""
    return tables.outbox.rows().filter(status=ASIDE)


def waiting() -> QuerySet[OutboxRecord]:
    return tables.outbox.rows().filter(status=WAITING)


def _seconds(before: datetime, now: datetime) -> float:
    return (now - before).total_seconds()
