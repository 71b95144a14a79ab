"""The condition of a project as the books have it, read in ten bounded statements: what the overview shows, and the doctor judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Case, QuerySet, Value, When
from django.db.models.functions import Now

from via_state.bookkeeping.database import halted_keys, leases, outbox, tables
from via_state.bookkeeping.database import peers as peer_rows
from via_state.bookkeeping.peers import KnownPeer
from via_state.core.findings import lasted
from via_state.core.records import Position
from via_state.declarations.catalog import handled_logs
from via_state.models import HandlerPosition
from via_state.operations.truth import At

#: Rows of one statement: what is more is said to be "at least" so many.
LIMIT = 2_000


class Handler(NamedTuple):
    """A registered event handler. ``template`` is the declared key."""

    pk: int
    template: str
    name: str


class Trouble(NamedTuple):
    """A position that is halted or stuck. ``age``: seconds since it is stuck; 0 for a halted one."""

    handler: Handler
    at: At
    halted: str
    halted_text: str
    attempts: int
    error: str
    age: float


class Letters(NamedTuple):
    """Dead letters that wait for a person, and the seconds that the oldest has waited."""

    number: int
    age: float


class Halt(NamedTuple):
    """A key that is halted on a pod, for ``age`` seconds."""

    key: str
    reason: str
    text: str
    host: str
    age: float


class Worker(NamedTuple):
    """One that runs event handlers, or did within a day."""

    name: str
    alive: bool
    lease_until: datetime


class Outbox(NamedTuple):
    """Records that wait, the seconds that the oldest has waited, records that were set aside, and why the first one was."""

    waiting: int
    oldest: float
    aside: int
    why: str

    @property
    def shown(self) -> tuple[str, str]:
        """How many wait, and how many were set aside."""
        waiting, aside = (
            f"at least {number:,}" if number > LIMIT else f"{number:,}" for number in (self.waiting, self.aside)
        )
        return waiting, aside

    @property
    def shown_oldest(self) -> str:
        """In words."""
        return lasted(self.oldest) if self.waiting else "-"


class Condition(NamedTuple):
    """``begun``: positions on declared keys that are not families. ``letters`` are by handler and declared key."""

    handlers: list[Handler]
    troubles: list[Trouble]
    begun: list[At]
    letters: dict[tuple[str, str], Letters]
    halts: list[Halt]
    workers: list[Worker]
    peers: list[KnownPeer]
    outbox: Outbox

    def at_least(self, number: int, every: int) -> str:
        """A number of rows, of ``every`` that were read: more were not looked at."""
        return f"at least {number:,}" if every >= LIMIT else f"{number:,}"


def read() -> Condition:
    """The condition now. Raises what the database raises."""
    registered = [Handler(*row) for row in tables.handlers.rows().values_list("pk", "template", "name")[:LIMIT]]
    by_pk = {one.pk: one for one in registered}
    return Condition(
        registered,
        _troubles(by_pk),
        _begun(by_pk),
        _letters(),
        _halts(),
        _workers(),
        peer_rows.known(),
        _outbox(),
    )


def _troubles(handlers: dict[int, Handler]) -> list[Trouble]:
    rows = tables.positions.rows().filter(handler__in=list(handlers))
    # Each by an index of its own: one condition with OR would read all rows.
    halted = rows.filter(halted__gt="").order_by("halted")
    stuck = rows.filter(stuck_since__isnull=False).order_by("stuck_since")
    found = {one.at: one for some in (halted, stuck) for one in _read(some, handlers)}
    return list(found.values())


def _read(rows: QuerySet[HandlerPosition], handlers: dict[int, Handler]) -> Iterator[Trouble]:
    columns = (
        "handler_id",
        "key",
        "epoch",
        "offset",
        "record_id",
        "halted",
        "halted_text",
        "attempts",
        "last_error",
    )
    for pk, key, epoch, offset, record_id, halted, text, attempts, error, since, now in rows.values_list(
        *columns, "stuck_since", Now()
    )[:LIMIT]:
        at = At(handlers[pk].name, handlers[pk].template, key, Position(epoch, offset, record_id), True)
        yield Trouble(handlers[pk], at, halted, text, attempts, error, seconds(since, now))


def _begun(handlers: dict[int, Handler]) -> list[At]:
    plain = [one.spec.name for one in handled_logs(without_handlers=True) if not one.spec.family]
    rows = tables.positions.rows().filter(key__in=plain, handler__in=list(handlers))
    columns = ("handler_id", "key", "epoch", "offset", "record_id", "stuck_since")
    return [
        At(handlers[pk].name, handlers[pk].template, key, Position(epoch, offset, record_id), since is not None)
        for pk, key, epoch, offset, record_id, since in rows.values_list(*columns)[:LIMIT]
    ]


def _letters() -> dict[tuple[str, str], Letters]:
    rows = tables.dead_letters.rows().filter(status="new").order_by("added_at", "id")
    found: dict[tuple[str, str], Letters] = {}
    for handler, log, at, now in rows.values_list("handler", "template", "added_at", Now())[:LIMIT]:
        before = found.get((handler, log))
        found[handler, log] = (
            Letters(1, seconds(at, now)) if before is None else before._replace(number=before.number + 1)
        )
    return found


def _halts() -> list[Halt]:
    rows = halted_keys.current(tables.halted_keys.rows()).order_by("since", "key")
    columns = ("key", "reason", "text", "host", "since")
    return [
        Halt(key, reason, text, host, seconds(since, now))
        for key, reason, text, host, since, now in rows.values_list(*columns, Now())[:LIMIT]
    ]


def _workers() -> list[Worker]:
    alive = Case(When(leases.holds(), then=Value(True)), default=Value(False))
    rows = tables.workers.rows().annotate(alive=alive).order_by("-alive", "-lease_until")
    return [Worker(str(row), row.alive, row.lease_until) for row in rows[:LIMIT]]


def _outbox() -> Outbox:
    waiting = outbox.waiting()
    first = waiting.order_by("id").values_list("created", Now()).first()
    count = 0 if first is None else waiting[: LIMIT + 1].count()
    aside = outbox.set_aside()
    put = aside.order_by("id").values_list("key", "error").first()
    return Outbox(
        count,
        0.0 if first is None else seconds(*first),
        0 if put is None else aside[: LIMIT + 1].count(),
        "" if put is None else f"{put[0]!r}: {put[1]}",
    )


def seconds(since: datetime | None, now: datetime) -> float:
    """Between two moments of the database; 0 for none."""
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
