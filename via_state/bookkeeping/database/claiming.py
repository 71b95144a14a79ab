"""Taking positions: many of one handler in one transaction, because each commit is a wait. On a database thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.db.models import Case, DateTimeField, Exists, F, IntegerField, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Coalesce, Now

from via_state.bookkeeping.database import tables, workers
from via_state.bookkeeping.database.retention import hash_key
from via_state.bookkeeping.positions import DIED, Claim, HandlerId, Held
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
    hashes = {hash_key(key): key for key in keys}
    with tables.atomic():
        rows = tables.positions.rows().filter(handler=number, key_hash__in=hashes)
        # In one order, so that two who claim the same keys wait for each other instead of in a circle.
        there = set(rows.select_for_update().order_by("pk").values_list("key_hash", flat=True))
        if there:
            _take(rows, worker, also, in_flight_offset)
        if missing := [(key_hash, key) for key_hash, key in sorted(hashes.items()) if key_hash not in there]:
            if not tables.handlers.rows().filter(pk=number).exists():
                return {}
            new = [tables.positions.new(handler_id=number, key_hash=one, key=key) for one, key in missing]
            tables.positions.add(*new, keep=True)
            _take(rows.filter(key_hash__in=[one for one, _ in missing]), worker, also, in_flight_offset)
        found = list(rows.annotate(now=Now()))
    return {row.key: _claim_of(row, handler, worker) or _held(row) for row in found}


#: Nothing is taken from anybody; whatever nothing is delivered of.
NOTHING, WHATEVER_IS_IDLE = Q(pk__in=[]), Q(in_flight_offset=0)


def still_idle(idle: Mapping[str, int]) -> Q:
    """Positions that stand at these offsets, and of which nothing is delivered."""
    seen = NOTHING
    for key, offset in idle.items():
        seen |= Q(key_hash=hash_key(key), offset=offset, in_flight_offset=0)
    return seen


def _take(rows: QuerySet[HandlerPosition], worker: str, also: Q, in_flight_offset: int) -> None:
    alive = workers.alive()
    ids = alive.values("id")
    free = Q(worker__in=("", worker)) | ~Q(worker__in=ids) | also
    unwanted = Q(wanted_by__in=("", worker)) | ~Q(wanted_by__in=ids)
    died = Q(in_flight_offset__gt=0) & ~Q(worker__in=("", worker))
    rows.filter(free & unwanted & Exists(alive.filter(id=worker))).update(
        worker=worker,
        fence=F("fence") + 1,
        attempts=Case(When(died, then=F("attempts") + 1), default=F("attempts"), output_field=IntegerField()),
        last_error=Case(When(died, then=Value(DIED)), default=F("last_error"), output_field=TextField()),
        last_traceback=Case(When(died, then=Value("")), default=F("last_traceback"), output_field=TextField()),
        stuck_since=Case(
            When(died & Q(attempts=0), then=Now()),  # it may have waited before: that was no failure
            When(died, then=Coalesce("stuck_since", Now())),
            default=F("stuck_since"),
            output_field=DateTimeField(),
        ),
        in_flight_offset=in_flight_offset,
        wanted_by="",
    )


def _claim_of(row: HandlerPosition, handler: HandlerId, worker: str) -> Claim | None:
    if row.worker != worker or row.wanted_by:
        return None
    now = row.now  # type: ignore[attr-defined]
    wait = 0.0 if row.next_attempt_at is None else (row.next_attempt_at - now).total_seconds()
    failing = None if row.stuck_since is None or not row.attempts else (now - row.stuck_since).total_seconds()
    return Claim(
        row.pk,
        handler,
        row.key,
        worker,
        row.fence,
        Position(row.epoch, row.offset, row.record_id),
        row.from_floor,
        row.in_flight_offset,
        row.attempts,
        max(0.0, wait),
        row.halted,
        row.halted_text,
        row.last_error,
        first_failed=None if failing is None else time.monotonic() - max(0.0, failing),
    )


def _held(row: HandlerPosition) -> Held:
    return Held(Position(row.epoch, row.offset, row.record_id), not row.in_flight_offset)
