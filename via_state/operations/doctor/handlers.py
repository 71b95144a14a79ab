"""Event handlers: whether anybody runs them, and what they can't get past."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Min
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables, workers
from via_state.core.findings import Finding, bad, lasted, some, well
from via_state.models import HandlerPosition
from via_state.operations.handlers import declared

#: Rows, or handlers, that are named.
MOST = 5
#: Seconds that a handler may fail at one record.
STUCK = 60.0


def handlers() -> list[Finding]:
    """Workers, orphans, positions and dead letters."""
    known = {(row.log, row.name) for row in tables.handlers.rows()}
    code = set(declared())
    return [*_workers(known, code), *_orphans(known - code), *_positions(), *_letters()]


def _workers(known: set[tuple[str, str]], code: set[tuple[str, str]]) -> list[Finding]:
    alive = workers.alive().count()
    if alive or not (known | code):
        return [well("D301", f"{alive} workers are alive.")]
    what = f"{len(known)} event handlers are registered" if known else f"{len(code)} event handlers are declared"
    lost = tables.workers.rows().order_by("-lease_until").first()
    last = (
        "" if lost is None else f" The last one, {lost}, was heard of until {lost.lease_until:%Y-%m-%d %H:%M:%S}."
    )
    return [bad("D301", f"{what}, and no worker is alive.{last}", "Start one: manage.py run_projectors")]


def _orphans(orphans: set[tuple[str, str]]) -> list[Finding]:
    found = [
        bad(
            "D302",
            f"The event handler {name!r} of {log!r} is registered and in no code of this project: its log keeps all records that it "
            "has not had.",
            f"manage.py retire_handler {name} --log '{log}'; if it was renamed: manage.py rename_handler {name} NEW --log '{log}'",
        )
        for log, name in sorted(orphans)[:MOST]
    ]
    return some("D302", found, "Every registered event handler is in the code.")


def _positions() -> list[Finding]:
    mine = tables.of_handlers(tables.positions.rows()).select_related("handler")
    found = [
        bad(
            "D311",
            f"{row.handler.name!r} on {row.key!r} is halted ({row.halted}): {row.halted_text}",
            f"manage.py resume_handler {row.handler.name} WHERE --key '{row.key}' --dry-run",
        )
        for row in mine.exclude(halted="")[:MOST]
    ]
    stuck = mine.filter(halted="", stuck_since__isnull=False).annotate(now=Now()).order_by("stuck_since")
    found += [_stuck(row, row.now) for row in stuck[:MOST] if _age(row.stuck_since, row.now) >= STUCK]
    return some("D311", found, "No event handler is halted, or stuck for long.")


def _stuck(row: HandlerPosition, now: datetime) -> Finding:
    how = f"failed {row.attempts} times at one record" if row.attempts else "can't continue"
    text = f"{row.handler.name!r} on {row.key!r} {how}, for {lasted(_age(row.stuck_since, now))}: {row.last_error}"
    return bad("D311", text, "Mend the cause: it is tried again by itself. Or set the record aside in the admin.")


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else (now - since).total_seconds()


def _letters() -> list[Finding]:
    rows = tables.dead_letters.rows().filter(status="new").order_by()
    groups = rows.values_list("handler", "log").annotate(count=Count("pk"), since=Min("buried_at"), now=Now())
    found = [
        bad(
            "D303",
            f"{count:,} dead letters of {handler!r} on {log!r} wait for a person, the oldest for {lasted(_age(since, now))}.",
            f"Mend the cause, then manage.py replay_dead_letters --handler {handler}",
        )
        for handler, log, count, since, now in groups.order_by("-count")[:MOST]
    ]
    return some("D303", found, "No dead letter waits.")
