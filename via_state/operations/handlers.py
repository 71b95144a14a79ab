"""Event handlers: those of this code, and those that are registered."""

from __future__ import annotations

from django.db.models import QuerySet

from via_state.bookkeeping.database import tables, workers
from via_state.bookkeeping.database.commits import committing
from via_state.bookkeeping.database.retention import lock_log
from via_state.declarations.catalog import handled_logs
from via_state.handlers.declaration import HandlerSpec
from via_state.handlers.worker import HandledLog
from via_state.models import EventHandler, HandlerPosition
from via_state.operations.names import check_names, near
from via_state.operations.refusal import Refused


def declared() -> dict[tuple[str, str], tuple[HandledLog, HandlerSpec]]:
    """The handlers of this code, by log and name."""
    return {(log.spec.name, name): (log, spec) for log in handled_logs() for name, spec in log.handlers.items()}


def all_registered() -> QuerySet[EventHandler]:
    """All registered handlers of this project."""
    return tables.handlers.rows()


def registered(name: str, log: str | None = None) -> EventHandler:
    """The one registered handler of this name. Raises `Refused` with a list of what there is."""
    rows = all_registered()
    if log is not None:
        check_names([log], {row.log for row in rows}, "handled log")
    found = list(rows.filter(name=name, **({} if log is None else {"log": log})))
    if len(found) == 1:
        return found[0]
    if found:
        logs = ", ".join(row.log for row in found)
        raise Refused(f"{name!r} handles several logs: {logs}. Say which one with --log.")
    known = sorted({row.name for row in rows if log in (None, row.log)})
    where = "" if log is None else f" of {log!r}"
    raise Refused(f"There is no event handler {name!r}{where}.{near(name, known)}")


def worker_of(handler: EventHandler) -> tuple[str, str] | None:
    """A worker that runs a handler now, in words, and the key on which it does; None while none does."""
    alive = workers.alive()
    row = positions_of(handler).filter(worker__in=alive.values("id")).first()
    worker = None if row is None else alive.filter(id=row.worker).first()
    return None if row is None or worker is None else (str(worker), row.key)


def positions_of(handler: EventHandler) -> QuerySet[HandlerPosition]:
    """The positions of a handler: one for each key on which it has begun."""
    return tables.positions.rows().filter(handler=handler)


def retire(handler: EventHandler) -> int:
    """End a handler: it keeps no more records, and its positions are gone. Returns how many there were."""
    with committing("operation", f"the retirement of {handler.name}"):
        lock_log(handler.log)
        found = positions_of(handler).count()
        all_registered().filter(pk=handler.pk).delete()
    return found
