"""What keeps records from being discarded besides snapshots, and the lock under which that is decided."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.position_rows import positions_at
from via_state.core.snapshot_generations import RetentionHold

if TYPE_CHECKING:
    from via_state.models import HandlerPosition


def lock_log(name: str) -> None:
    """Lock a declared log until the transaction ends. On a database thread, in a transaction.

    Registering what keeps records and discarding records exclude each other by it.
    """
    lock = tables.log_locks.rows().filter(name=name)
    if not lock.update(passed=Now()):
        tables.log_locks.add(tables.log_locks.new(name=name), keep=True)
        lock.update(passed=Now())


def hash_key(key: str) -> str:
    """What stands for a key where some databases compare text without regard to case."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def handler_holds(name: str, key: str, epoch: str) -> list[RetentionHold]:
    """What handlers keep of one log, read in the caller's transaction: the event handlers, whether anything runs them or not."""
    names = dict(tables.handlers.rows().filter(template=name).values_list("pk", "name"))
    if not names:
        return []
    found = {row.handler_id: row for row in positions_at(names, [key])}
    return [handler_hold(handler, found.get(pk), epoch) for pk, handler in names.items()]


def handler_hold(name: str, position: HandlerPosition | None, epoch: str) -> RetentionHold:
    """What a handler keeps of a log of this epoch; ``position`` is None where it has not begun."""
    if position is None or not position.offset:
        return RetentionHold(0, f"the event handler {name}, which has not begun", "handler")
    if position.epoch != epoch:
        return RetentionHold(
            0, f"the event handler {name}, whose position is in another history of the log", "handler"
        )
    return RetentionHold(position.offset, f"the event handler {name}", "handler")
