"""Event handlers: those of this code, and those that are registered."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Q, QuerySet

from via_state.bookkeeping.database import tables, workers
from via_state.bookkeeping.database.commits import committing
from via_state.bookkeeping.database.retention import lock_log
from via_state.declarations.catalog import handled_logs
from via_state.handlers.declaration import HandlerSpec
from via_state.handlers.known_keys import HandledLog
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
        check_names([log], {row.template for row in rows}, "handled log")
    found = list(rows.filter(name=name, **({} if log is None else {"template": log})))
    if len(found) == 1:
        return found[0]
    if found:
        logs = ", ".join(row.template for row in found)
        raise Refused(f"{name!r} handles several logs: {logs}. Say which one with --log.")
    known = sorted({row.name for row in rows if log in (None, row.template)})
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
        lock_log(handler.template)
        found = positions_of(handler).count()
        all_registered().filter(pk=handler.pk).delete()
    return found


class Renaming(NamedTuple):
    """What a renaming moves: positions, and dead letters. ``dropped``: dead letters that the new name had of the same records."""

    positions: int
    letters: int
    dropped: int


def rename(old: str, new: str, log: str | None = None, *, dry: bool = False) -> Renaming:
    """Give the registered handler ``old`` the name ``new``, which this code declares on the same log: it continues where it was.

    Raises `Refused`. ``dry`` only counts.
    """
    row = registered(old, log)
    code = declared()
    if (row.template, old) in code:
        raise Refused(f"This code declares {old!r} on {row.template!r}. Rename it there, and deploy that first.")
    if (row.template, new) not in code:
        known = sorted(name for key, name in code if key == row.template)
        raise Refused(f"This code declares no event handler {new!r} on {row.template!r}.{near(new, known)}")
    newcomer = all_registered().filter(template=row.template, name=new).first()
    for one in (row, newcomer):
        if one is not None and (running := worker_of(one)) is not None:
            raise Refused(f"{running[0]}, runs {one.name!r} on {running[1]!r}. Stop the workers first.")
    if newcomer is not None and positions_of(newcomer).filter(Q(offset__gt=0) | Q(attempts__gt=0)).exists():
        raise Refused(
            f"{new!r} has handled events of {row.template!r} already, from the first one on or from the head. Nothing was changed. "
            f"manage.py retire_handler {old} ends the old one."
        )
    letters = tables.dead_letters.rows().filter(template=row.template)
    theirs = letters.filter(handler=new).values_list("record_id", flat=True)
    mine = letters.filter(handler=old)
    twice = mine.filter(record_id__in=list(theirs))
    found = Renaming(positions_of(row).count(), mine.count() - twice.count(), twice.count())
    if not dry:
        with committing("operation", f"the renaming of {old} into {new}"):
            lock_log(row.template)
            if newcomer is not None:
                all_registered().filter(pk=newcomer.pk).delete()
            all_registered().filter(pk=row.pk).update(name=new)
            twice.delete()
            mine.update(handler=new)
    return found


class Renamed(NamedTuple):
    """Handlers of a log that are registered and not declared, and those that are declared and not registered."""

    log: str
    orphans: list[str]
    newcomers: list[str]


def perhaps_renamed() -> list[Renamed]:
    """The logs that have both."""
    here = set(all_registered().values_list("template", "name"))
    code = set(declared())
    found = []
    for log in sorted({log for log, _ in here - code} & {log for log, _ in code - here}):
        orphans, newcomers = ({name for key, name in one if key == log} for one in (here - code, code - here))
        found.append(Renamed(log, sorted(orphans), sorted(newcomers)))
    return found
