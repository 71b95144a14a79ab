"""What keeps records from being discarded besides snapshots, and the lock under which that is decided."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from via_state.conf import settings
from via_state.core.snapshot_generations import RetentionHold

if TYPE_CHECKING:
    from via_state.models import HandlerPosition


def lock_log(name: str) -> None:
    """Lock the gate of a declared log until the transaction ends. On a database thread, inside ``transaction.atomic``.

    Registering what pins records and discarding records exclude each other by it.
    """
    from via_state.models import LogLock  # models load after this module does

    locks = LogLock.objects.using(settings.DATABASE)
    lock = {"prefix": settings.PREFIX, "name": name}
    if not locks.filter(**lock).update(passed=Now()):
        locks.bulk_create([LogLock(**lock)], ignore_conflicts=True)
        locks.filter(**lock).update(passed=Now())


def hash_key(key: str) -> str:
    """What stands for a key where handler positions are looked up."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def handler_holds(name: str, key: str, epoch: str) -> list[RetentionHold]:
    """The pins on one log, read in the caller's transaction: the event handlers, whether anything runs them or not."""
    from via_state.models import EventHandler, HandlerPosition  # models load after this module does

    handlers = EventHandler.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX, log=name)
    names = dict(handlers.values_list("pk", "name"))
    if not names:
        return []
    rows = HandlerPosition.objects.using(settings.DATABASE).filter(handler__in=list(names), key_hash=hash_key(key))
    found = {row.handler_id: row for row in rows}
    return [handler_hold(handler, found.get(pk), epoch) for pk, handler in names.items()]


def handler_hold(name: str, position: HandlerPosition | None, epoch: str) -> RetentionHold:
    """What a handler keeps of a log of this epoch; ``position`` is None where it has not begun."""
    if position is None or not position.offset:
        return RetentionHold(0, f"the event handler {name}, which has not begun")
    if position.epoch != epoch:
        return RetentionHold(0, f"the event handler {name}, which stands in another history of the log")
    return RetentionHold(position.offset, f"the event handler {name}")
