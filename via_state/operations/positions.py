"""What an operator does to positions: let one continue, move the record that blocks it into the dead letters."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.commits import committing
from via_state.bookkeeping.database.dead_letters import keep_letter
from via_state.bookkeeping.database.retention import lock_log
from via_state.bookkeeping.positions import REPLAYING, HandlerId, Letter
from via_state.core.cursor import CursorCheck, check_cursor
from via_state.core.delivery import Record, Treatment, records_after
from via_state.core.records import GENESIS, Position
from via_state.core.specs import LogSpec
from via_state.exceptions import ViaStateError
from via_state.handlers.declaration import HandlerSpec
from via_state.models import EventHandler, HandlerPosition
from via_state.operations.names import check_names
from via_state.operations.refusal import Refused


async def find_position(backplane: Backplane, key: str, where: str) -> tuple[Position, bool]:
    """The position that "first", "head" or an offset means, and whether it is the log's beginning, wherever that is.

    Raises ValueError for an offset that the log does not have.
    """
    if where == "first":
        return GENESIS, True
    head = await backplane.head(key)
    if where == "head":
        return head.position, False
    offset = int(where)
    if offset == 0:
        return GENESIS, True
    if offset == head.floor.offset:
        return head.floor, False
    batch = await backplane.read(key, Position(head.position.epoch, offset, ""), 1)
    if batch.cursor_id is None:
        raise ValueError(
            f"{key!r} has no record at offset {offset}: it holds those from {head.floor.offset + 1} to {head.position.offset}."
        )
    return Position(batch.head.epoch, offset, batch.cursor_id), False


def positions_to_move(handler: EventHandler, key: str | None) -> list[HandlerPosition]:
    """The position on a key; without one, all that are halted. Raises `Refused` where there is none."""
    rows = tables.positions.rows().filter(handler=handler).select_related("handler")
    found = list(rows.exclude(halted="") if key is None else rows.filter(key=key))
    if not found and key is not None:
        check_names([key], rows.values_list("key", flat=True), f"position of {handler.name!r} on")
    if not found:
        state = "halted on any key" if key is None else f"known on {key!r}"
        raise Refused(f"Handler {handler.name!r} is not {state}. Nothing was changed.")
    return found


def resume(row: HandlerPosition, position: Position, from_floor: bool) -> bool:
    """Let a handler continue after ``position``. Whoever runs it now is told to ask again.

    False when somebody else resumed it, it halted meanwhile, or a replay has its position; nothing is changed then.
    """
    with committing("operation", f"the resuming of {row.handler.name} on {row.key!r}"):
        lock_log(row.handler.template)
        rows = tables.positions.rows().filter(pk=row.pk, epoch=row.epoch, halted=row.halted)
        rows = rows.exclude(in_flight_offset=REPLAYING)
        changed = rows.update(
            epoch=position.epoch,
            offset=position.offset,
            record_id=position.record_id,
            from_floor=from_floor,
            halted="",
            halted_text="",
            attempts=0,
            in_flight_offset=0,
            last_error="",
            last_traceback="",
            next_attempt_at=None,
            stuck_since=None,
            worker="",
            fence=F("fence") + 1,
        )
    return bool(changed)


async def next_record(
    backplane: Backplane, row: HandlerPosition, spec: HandlerSpec, log: LogSpec[Any]
) -> Record | None:
    """The record that a handler has before it; None at the head. Raises `ViaStateError` where its log is another one now."""
    position = Position(row.epoch, row.offset, row.record_id)
    while True:
        batch = await backplane.read(row.key, position, 500)
        if check_cursor(position, batch, row.from_floor) not in (CursorCheck.CONTINUES, CursorCheck.FROM_FLOOR):
            raise ViaStateError(
                f"{row.key!r} is not the log in which the handler has its position: it was restored, recreated, or lost records. "
                "manage.py resume_handler says where it resumes."
            )
        for record in records_after(batch, position, log.events, spec.events):
            if record.treatment in (Treatment.DELIVER, Treatment.BLOCK):
                return record
            position = record.position
        if not batch.packs or position.offset >= batch.head.offset:
            return None


def move_to_dead_letters(row: HandlerPosition, record: Record, log: LogSpec[Any], by: str) -> bool:
    """Move the record that a handler fails at into the dead letters, and let it continue after it.

    False when it has moved on meanwhile, or a replay has its position. Raises `ViaStateError` for a record that this code can't read: newer code can.
    """
    if record.treatment is not Treatment.DELIVER:
        raise ViaStateError("Only newer code knows the event. Deploy it, or put its name into retired=.")
    with committing("operation", f"moving a record into the dead letters of {row.handler.name} on {row.key!r}"):
        rows = tables.positions.rows().filter(pk=row.pk, offset=row.offset, epoch=row.epoch)
        rows = rows.exclude(in_flight_offset=REPLAYING)
        if not rows.update(
            fence=F("fence") + 1, worker="", in_flight_offset=0
        ):  # locks it, and nobody else commits
            return False
        now = rows.get()
        error = now.last_error or "moved into the dead letters by an operator"
        trace = f"{now.last_traceback}\nMoved into the dead letters by {by}.".lstrip()
        letter = Letter(
            record.position, *record.stored(log.events), error, trace, now.attempts, metadata=record.metadata
        )
        keep_letter(HandlerId(row.handler.template, row.handler.name), row.key, letter, now.stuck_since)
        epoch, offset, record_id = record.position
        rows.update(
            epoch=epoch,
            offset=offset,
            record_id=record_id,
            from_floor=False,
            attempts=0,
            last_error="",
            last_traceback="",
            next_attempt_at=None,
            stuck_since=None,
        )
    return True
