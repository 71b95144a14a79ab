"""Taking positions: many of one handler in one transaction, because each commit is a wait. On a database thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Case, Exists, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Now

from via_state.bookkeeping.database import position_sql, tables, workers
from via_state.bookkeeping.database.position_rows import hash_position
from via_state.bookkeeping.database.statements import execute
from via_state.bookkeeping.positions import DIED, REPLAYING, SUSPECT, Claim, HandlerId, Held, together
from via_state.conf import settings
from via_state.core.records import Position

if TYPE_CHECKING:
    from via_state.models import HandlerPosition


def claim(
    handler: HandlerId,
    number: int,
    keys: Sequence[str],
    worker: str,
    also: Q,
    in_flight_offset: int = 0,
) -> dict[str, Claim | Held]:
    """See `PositionStore.claim`. ``number``: the handler's row. ``also``: what is taken from its holder. What is claimed gets this
    ``in_flight_offset``.
    """
    hashes = {hash_position(number, key): key for key in keys}
    rows = tables.positions.rows().filter(position_hash__in=hashes)
    seen = list(rows.values_list("worker", "in_flight_offset"))
    for holder in {
        holder for holder, in_flight in seen if in_flight not in (0, REPLAYING) and holder not in ("", worker)
    }:
        _count_death(holder)
    with tables.atomic():
        there: set[str] = set()
        if seen:
            # In one order, so that two who claim the same keys wait for each other instead of in a circle.
            there.update(rows.select_for_update().order_by("pk").values_list("position_hash", flat=True))
            _take(rows, worker, also, in_flight_offset)
        if missing := sorted(hashes.keys() - there):
            here = tables.handlers.rows().filter(pk=number)
            alive = here.values_list(Exists(workers.alive().filter(id=worker)), flat=True).first()
            if alive is None:
                return {}
            # Those that somebody else inserts meanwhile are that one's.
            taken = (worker, 1, in_flight_offset) if alive else ("", 0, 0)
            values = [value for one in missing for value in (number, one, hashes[one], *taken)]
            execute(settings.DATABASE, position_sql.begin(settings.DATABASE, len(missing)), values)
        found = [_Row(*row) for row in rows.values_list(*_Row._fields[:-1], Now())]
    return {row.key: _claim_of(row, handler, worker) or _held(row) for row in found}


class _Row(NamedTuple):
    """What a claim is made of, where a model's object takes ten times as long to make. Its attributes are columns, and the database's time."""

    id: int
    key: str
    worker: str
    fence: int
    epoch: str
    offset: int
    record_id: str
    from_floor: bool
    in_flight_offset: int
    attempts: int
    next_attempt_at: datetime | None
    stuck_since: datetime | None
    halted: str
    halted_text: str
    last_error: str
    wanted_by: str
    now: datetime


#: Longest pause after a death, in seconds.
LONGEST = 60.0
#: Nothing is taken from anybody; whatever nothing is delivered of.
NOTHING, WHATEVER_IS_IDLE = Q(pk__in=[]), Q(in_flight_offset=0)
#: No record is delivered. What is kept of those that were when their worker died: up to where, if they were several.
_NOTHING_RUNS = Q(in_flight_offset__in=(0, REPLAYING))
KEPT = Case(When(in_flight_offset__lt=REPLAYING, then=F("in_flight_offset")), default=Value(0))


def still_idle(number: int, idle: Mapping[str, int]) -> Q:
    """Positions of a handler that stand at these offsets, and of which nothing is delivered."""
    seen = NOTHING
    for key, offset in idle.items():
        seen |= Q(position_hash=hash_position(number, key), offset=offset, in_flight_offset=0)
    return seen


def _take(rows: QuerySet[HandlerPosition], worker: str, also: Q, in_flight_offset: int) -> None:
    alive = workers.alive()
    ids = alive.values("id")
    free = Q(worker__in=("", worker)) | (~Q(worker__in=ids) & _NOTHING_RUNS) | also
    unwanted = Q(wanted_by__in=("", worker)) | ~Q(wanted_by__in=ids)
    rows.filter(free & unwanted & Exists(alive.filter(id=worker))).update(
        worker=worker, fence=F("fence") + 1, in_flight_offset=in_flight_offset or KEPT, wanted_by=""
    )


def _count_death(dead: str) -> None:
    """What a worker died with is free, if it is dead. One record alone is to blame: an attempt, and a pause that doubles with each death but the
    first. Of several nobody is: each runs alone next, so that the next death tells.
    """
    if workers.alive().filter(id=dead).exists():
        return
    with tables.atomic():
        _free_after_death(dead)


def _free_after_death(dead: str) -> None:
    rows = tables.positions.rows().filter(worker=dead).exclude(_NOTHING_RUNS)
    found = list(rows.select_for_update().order_by("pk").values_list("pk", "attempts", "in_flight_offset"))
    if workers.alive().filter(id=dead).exists():
        return  # it was only late
    free = {"worker": "", "in_flight_offset": KEPT, "fence": F("fence") + 1, "last_traceback": ""}
    mine = tables.positions.rows().filter(pk__in=[pk for pk, _, _ in found])
    if len(found) > 1 or any(in_flight < 0 for _, _, in_flight in found):
        mine.update(last_error=SUSPECT, stuck_since=Coalesce("stuck_since", Now()), **free)
        return
    for _, attempts, _ in found:
        pause = min(LONGEST, 2.0 ** (attempts - 1)) if attempts else 0.0
        mine.update(
            attempts=attempts + 1,
            last_error=DIED,
            # It may have waited before: that was not a failure.
            stuck_since=Coalesce("stuck_since", Now()) if attempts else Now(),
            next_attempt_at=Now() + timedelta(seconds=pause),
            **free,
        )


def _claim_of(row: _Row, handler: HandlerId, worker: str) -> Claim | None:
    if row.worker != worker or row.wanted_by:
        return None
    wait = 0.0 if row.next_attempt_at is None else (row.next_attempt_at - row.now).total_seconds()
    failing = None if row.stuck_since is None or not row.attempts else (row.now - row.stuck_since).total_seconds()
    several = row.in_flight_offset < REPLAYING  # a worker died with them, or they were broken off
    return Claim(
        row.id,
        handler,
        row.key,
        worker,
        row.fence,
        Position(row.epoch, row.offset, row.record_id),
        row.from_floor,
        0 if several else row.in_flight_offset,
        row.attempts,
        max(0.0, wait),
        row.halted,
        row.halted_text,
        row.last_error,
        first_failed=None if failing is None else time.monotonic() - max(0.0, failing),
        alone_until=together(row.in_flight_offset) if several else 0,
    )


def _held(row: _Row) -> Held:
    return Held(Position(row.epoch, row.offset, row.record_id), not row.in_flight_offset)
