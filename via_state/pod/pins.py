"""What keeps records from being discarded besides snapshots, and the lock under which that is decided."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from via_state.conf import settings
from via_state.core.lineage import Pin

if TYPE_CHECKING:
    from via_state.models import HandlerPosition


def lock_gate(name: str) -> None:
    """Lock the gate of a declared log until the transaction ends. On a database thread, inside ``transaction.atomic``.

    Registering what pins records and discarding records exclude each other by it.
    """
    from via_state.models import LogGate  # models load after this module does

    gates = LogGate.objects.using(settings.DATABASE)
    gate = {"prefix": settings.PREFIX, "name": name}
    if not gates.filter(**gate).update(passed=Now()):
        gates.bulk_create([LogGate(**gate)], ignore_conflicts=True)
        gates.filter(**gate).update(passed=Now())


def slot_of(key: str) -> str:
    """What stands for a key where handler positions are looked up."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def other_pins(name: str, key: str, epoch: str) -> list[Pin]:
    """The pins on one log, read in the caller's transaction: the event handlers, whether anything runs them or not."""
    from via_state.models import EventHandler, HandlerPosition  # models load after this module does

    handlers = EventHandler.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX, log=name)
    names = dict(handlers.values_list("pk", "name"))
    if not names:
        return []
    rows = HandlerPosition.objects.using(settings.DATABASE).filter(handler__in=list(names), slot=slot_of(key))
    found = {row.handler_id: row for row in rows}
    return [handler_pin(handler, found.get(pk), epoch) for pk, handler in names.items()]


def handler_pin(name: str, position: HandlerPosition | None, epoch: str) -> Pin:
    """What a handler keeps of a log of this epoch; ``position`` is None where it has not begun."""
    if position is None or not position.offset:
        return Pin(0, f"the event handler {name}, which has not begun")
    if position.epoch != epoch:
        return Pin(0, f"the event handler {name}, which stands in another history of the log")
    return Pin(position.offset, f"the event handler {name}")
