"""Moving the record at which a handler fails into the dead letters: exactly the one that a person saw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.utils.html import format_html

from via_state.admin.confirmation import Item
from via_state.admin.events import shown_event
from via_state.admin.text import beginning, block, first_line
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.positions import AWAY, BLOCKED
from via_state.core.delivery import Record, Treatment
from via_state.core.specs import LogSpec
from via_state.exceptions import ViaStateError
from via_state.handlers.declaration import HandlerSpec
from via_state.models import HandlerPosition
from via_state.operations.handlers import declared
from via_state.operations.positions import move_to_dead_letters, next_record
from via_state.pod.default import current_pod

#: Records in one request, and the seconds that the backplane has to show them all.
MOST, TIMEOUT = 20, 5.0
#: Characters of each event on a page of so many.
EVENT = 4_000

NEWER = "Only newer code knows the event. Deploy it, or put its name into retired=."


class Token(NamedTuple):
    """Which record was shown."""

    pk: int
    offset: int
    record_id: str


def tokens(given: Iterable[str]) -> dict[int, Token]:
    """What a form says, by the positions' primary keys. What no page of ours has made is left out."""
    found = {}
    for text in given:
        pk, _, rest = text.partition(":")
        offset, _, record_id = rest.partition(":")
        if pk.isdecimal() and len(pk) < 19 and (not offset or (offset.isdecimal() and len(offset) < 20)):
            found[int(pk)] = Token(int(pk), int(offset or 0), record_id)
    return found


def obstacle(row: HandlerPosition) -> str:
    """Why nothing is moved, as far as the row tells; or nothing."""
    if row.halted:
        return "The handler is halted: manage.py resume_handler says where it resumes."
    if row.attempts:
        return ""
    if row.last_error.startswith(AWAY):
        return str(row.last_error)
    if row.last_error == BLOCKED:
        return NEWER
    return "" if row.stuck_since else "No record is blocked here."


def items_of(rows: Sequence[HandlerPosition]) -> list[Item]:
    """What would be moved."""
    found = _blocked(rows)
    return [_item(row, found[row.pk]) for row in rows]


def shown_blocked(row: HandlerPosition) -> str:
    """The event at which a handler fails, for the page of its position. It is read from the log."""
    if not row.attempts and not row.stuck_since:
        return "-"
    blocked = _blocked([row])[row.pk]
    if isinstance(blocked, _Refused):
        return blocked.why
    event = shown_event(blocked.record.event, blocked.log.events)
    return format_html(
        "<div><strong>{}</strong> at offset {}{}</div>",
        event.name,
        blocked.record.position.offset,
        block(event.text),
    )


class _Refused(NamedTuple):
    why: str


class _Blocked(NamedTuple):
    record: Record
    log: LogSpec[Any]


def _item(row: HandlerPosition, blocked: _Blocked | _Refused) -> Item:
    title, lines = f"{row.handler} on {row.key}", [("attempts", str(row.attempts))]
    if row.last_error:
        lines.append(("error", first_line(row.last_error, 300)))
    if isinstance(blocked, _Refused):
        return Item(title, "", lines, note=blocked.why)
    position = blocked.record.position
    event = shown_event(blocked.record.event, blocked.log.events)
    lines = [("offset", str(position.offset)), *lines, ("event", event.name)]
    return Item(title, f"{row.pk}:{position.offset}:{position.record_id}", lines, beginning(event.text, EVENT))


def move(row: HandlerPosition, shown: Token, by: str) -> str:
    """Move the record that was shown. Returns why that was refused, or nothing."""
    blocked = _blocked([row])[row.pk]
    if isinstance(blocked, _Refused):
        return blocked.why
    record, log = blocked
    if (record.position.offset, record.position.record_id) != (shown.offset, shown.record_id):
        return "Another record is blocked now than the one that was shown. Look again."
    try:
        moved = move_to_dead_letters(row, record, log, by)
    except ViaStateError as error:
        return str(error)
    return "" if moved else "The handler has continued meanwhile. Look again."


def _blocked(rows: Sequence[HandlerPosition]) -> dict[int, _Blocked | _Refused]:
    code = declared()
    found: dict[int, _Blocked | _Refused] = {}
    asked: list[tuple[HandlerPosition, HandlerSpec, LogSpec[Any]]] = []
    for row in rows:
        log, spec = code.get((row.handler.template, row.handler.name), (None, None))
        if why := obstacle(row):
            found[row.pk] = _Refused(why)
        elif log is None or spec is None:
            found[row.pk] = _Refused(
                "Nothing in this code declares the event handler, so its event can't be read."
            )
        else:
            asked.append((row, spec, log.spec))
    if asked:
        pod = current_pod()
        answers = pod.thread.call(_read(pod.backplane, asked))
        for (row, _, known), answer in zip(asked, answers, strict=True):
            found[row.pk] = _judged(answer, known)
    return found


def _judged(answer: Record | BaseException | None, log: LogSpec[Any]) -> _Blocked | _Refused:
    if isinstance(answer, TimeoutError):
        return _Refused("The backplane did not answer in time. Try again.")
    if isinstance(answer, ViaStateError):
        return _Refused(str(answer))
    if isinstance(answer, BaseException):
        raise answer
    if answer is None:
        return _Refused("No record is blocked here any more.")
    if answer.treatment is not Treatment.DELIVER:
        return _Refused(NEWER)
    return _Blocked(answer, log)


async def _read(
    backplane: Backplane, asked: Sequence[tuple[HandlerPosition, HandlerSpec, LogSpec[Any]]]
) -> list[Record | BaseException | None]:
    reads = (asyncio.wait_for(next_record(backplane, row, spec, log), TIMEOUT) for row, spec, log in asked)
    return await asyncio.gather(*reads, return_exceptions=True)
