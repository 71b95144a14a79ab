"""Dead letters, taken up again by a person."""

from __future__ import annotations

import json
import logging
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from via_state.conf import settings
from via_state.core.events import EventCodec, Unreadable
from via_state.handlers.declaration import Delivery, HandlerSpec
from via_state.handlers.execution import call, one_line, trace
from via_state.models import DeadLetter
from via_state.pod.commits import committing

logger = logging.getLogger("via_state.handlers")


class Replayed(NamedTuple):
    """What became of a letter. ``done`` is False where somebody else settled it first, or the handler failed again."""

    done: bool
    error: str = ""


def replay(letter: DeadLetter, spec: HandlerSpec, codec: EventCodec, by: str) -> Replayed:
    """Run the handler once more for a letter that is new; it is replayed after that, or has a new error.

    Whoever replays the same letter at the same time waits, and then does nothing. What the handler writes to ``DATABASE``
    becomes durable together with the letter's new status, or not at all.
    """
    event = event_of(letter, codec)
    if isinstance(event, Unreadable):
        return Replayed(False, f"This code can't read the event: it is {event.value}.")
    new = DeadLetter.objects.using(settings.DATABASE).filter(pk=letter.pk, status=DeadLetter.Status.NEW)
    with committing("replay", f"the replay of {letter}"):
        if not new.update(attempts=F("attempts") + 1):  # locks the row
            return Replayed(False)
        delivery = Delivery(
            letter.handler,
            letter.key,
            letter.offset,
            letter.epoch,
            letter.attempts + 1,
            f"{letter.handler}-{letter.record_id}",
        )
        try:
            with transaction.atomic(using=settings.DATABASE):
                call(spec.function, event, delivery)
        except Exception as error:
            new.update(error=one_line(error), traceback=trace(error))
            return Replayed(False, one_line(error))
        new.update(status=DeadLetter.Status.REPLAYED, settled_at=Now(), settled_by=by)
    return Replayed(True)


def discard(letter: DeadLetter, by: str) -> bool:
    """Say that nothing more is to be done about a letter; False when it was settled already."""
    new = DeadLetter.objects.using(settings.DATABASE).filter(pk=letter.pk, status=DeadLetter.Status.NEW)
    return bool(new.update(status=DeadLetter.Status.DISCARDED, settled_at=Now(), settled_by=by))


def event_of(letter: DeadLetter, codec: EventCodec) -> Any:
    """The event of a letter, or `Unreadable`."""
    pack = f"[[{json.dumps(letter.event_name)},{letter.event_version},{letter.payload}]]"
    (event,) = codec.decode(pack.encode(), 1).events
    return event
