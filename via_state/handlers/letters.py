"""Dead letters as rows."""

from __future__ import annotations

from datetime import datetime

from django.db.models.functions import Now

from via_state.conf import settings
from via_state.handlers.positions import HandlerId, Letter
from via_state.models import DeadLetter


def keep_letter(handler: HandlerId, key: str, letter: Letter, since: datetime | None) -> None:
    """Store a dead letter; one of the same record and handler is replaced, and is new again. Inside a transaction."""
    where = {"prefix": settings.PREFIX, "handler": handler.name, "record_id": letter.position.record_id}
    rest = {
        "log": handler.log,
        "key": key,
        "epoch": letter.position.epoch,
        "offset": letter.position.offset,
        "event_name": letter.event_name,
        "event_version": letter.event_version,
        "payload": letter.payload,
        "reason": letter.reason,
        "error": letter.error,
        "traceback": letter.traceback,
        "attempts": letter.attempts,
        "first_failed_at": since,
        "status": DeadLetter.Status.NEW,
        "settled_at": None,
        "settled_by": "",
    }
    rows = DeadLetter.objects.using(settings.DATABASE)
    if not rows.filter(**where).update(**rest, buried_at=Now()):
        rows.create(**where, **rest, buried_at=Now())
