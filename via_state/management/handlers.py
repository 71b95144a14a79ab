"""Which event handlers a command is about."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from django.core.management.base import CommandError

from via_state.conf import settings
from via_state.declarations.catalog import handled_logs
from via_state.handlers.declaration import HandlerSpec
from via_state.handlers.worker import HandledLog
from via_state.models import EventHandler


def declared() -> dict[tuple[str, str], tuple[HandledLog, HandlerSpec]]:
    """The handlers of this code, by log and name."""
    return {(log.spec.name, name): (log, spec) for log in handled_logs() for name, spec in log.handlers.items()}


def registered(name: str, log: str | None = None) -> EventHandler:
    """The one registered handler of this name. Raises `CommandError` that lists what there is."""
    rows = EventHandler.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)
    if log is not None:
        check_names([log], {row.log for row in rows}, "handled log")
    found = list(rows.filter(name=name, **({} if log is None else {"log": log})))
    if len(found) == 1:
        return found[0]
    if found:
        logs = ", ".join(row.log for row in found)
        raise CommandError(f"{name!r} handles several logs: {logs}. Say which one with --log.", returncode=2)
    known = sorted({row.name for row in rows if log in (None, row.log)})
    where = "" if log is None else f" of {log!r}"
    raise CommandError(f"There is no event handler {name!r}{where}.{near(name, known)}", returncode=2)


def check_names(names: Collection[str], known: Iterable[str], what: str) -> None:
    """Raise `CommandError` for a name that is not known."""
    all_known = sorted(set(known))
    for name in names:
        if name not in all_known:
            raise CommandError(f"There is no {what} {name!r}.{near(name, all_known)}", returncode=2)


def near(name: str, known: list[str]) -> str:
    """What was meant, perhaps."""
    if not known:
        return " There are none."
    close = difflib.get_close_matches(name, known, n=3)
    return f" Did you mean {' or '.join(close)}?" if close else f" There are: {', '.join(known[:10])}."
