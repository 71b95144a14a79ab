"""Dead letters as rows."""

from __future__ import annotations

from datetime import datetime

from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.positions import HandlerId, Letter


def keep_letter(handler: HandlerId, key: str, letter: Letter, since: datetime | None) -> None:
    """Store a dead letter, which failed first at ``since``, or now; one of the same record and handler is replaced, and is new again. Inside a transaction."""
    where = {"handler": handler.name, "record_id": letter.position.record_id}
    rest = {
        "template": handler.template,
        "key": key,
        "epoch": letter.position.epoch,
        "offset": letter.position.offset,
        "event_name": letter.event_name,
        "event_version": letter.event_version,
        "payload": letter.payload,
        "metadata": letter.metadata,
        "reason": letter.reason,
        "error": letter.error,
        "traceback": letter.traceback,
        "attempts": letter.attempts,
        "first_failed_at": since or Now(),
        "status": "new",
        "resolved_at": None,
        "resolved_by": "",
    }
    if not tables.dead_letters.rows().filter(**where).update(**rest, added_at=Now()):
        tables.dead_letters.create(**where, **rest, added_at=Now())
