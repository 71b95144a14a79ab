"""The condition of a project as the books have it, read in ten bounded statements: what the overview shows, and the doctor judges."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from via_state.bookkeeping.database import counting, halted_keys, leases, outbox, tables
from via_state.bookkeeping.database import peers as peer_rows
from via_state.bookkeeping.database.counting import Few, Waiting, seconds
from via_state.bookkeeping.peers import KnownPeer
from via_state.bookkeeping.positions import AWAY, BLOCKED
from via_state.core.findings import lasted
from via_state.declarations.catalog import handled_logs
from via_state.models import HandlerPosition
from via_state.operations.truth import PLACE, At

#: Rows of one statement; dead letters of a handler, and records of the outbox, that are counted.
LIMIT = 2_000
#: Positions in trouble that are counted; those that are read, of the halted and of the stuck ones.
COUNTED, TROUBLES = 10_000, 200
HALTED, STUCK, HELD_UP = STATES = "halted", "stuck", "blocked"


def at_least(number: int, most: int = LIMIT) -> str:
    """For a sentence: more than ``most`` were not counted."""
    return f"at least {most:,}" if number > most else f"{number:,}"


def or_more(number: int, most: int = LIMIT) -> str:
    """The same for a column."""
    return f"{most:,}+" if number > most else f"{number:,}"


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
        return at_least(self.waiting), at_least(self.aside)

    @property
    def shown_oldest(self) -> str:
        """In words."""
        return lasted(self.oldest) if self.waiting else "-"


class Condition(NamedTuple):
    """``troubles`` are the worst positions; ``states`` says of each handler how many are halted, stuck and blocked, as far as `COUNTED`.
    ``begun``: positions on declared keys that are not families. ``letters`` are by handler and declared key.
    """

    handlers: list[Handler]
    troubles: list[Trouble]
    states: dict[int, dict[str, int]]
    begun: list[At]
    letters: Waiting
    halts: list[Halt]
    workers: list[Worker]
    peers: list[KnownPeer]
    outbox: Outbox

    @property
    def uncounted(self) -> set[str]:
        """The states of which there are more positions than were counted: each number of ``states`` is a part of it."""
        found = set()
        for states in ({HALTED}, {STUCK, HELD_UP}):
            if sum(one.get(state, 0) for one in self.states.values() for state in states) > COUNTED:
                found |= states
        return found


def read(troubles: int = TROUBLES) -> Condition:
    """The condition now, with so many of the halted, and of the stuck positions. Raises what the database raises."""
    rows = list(tables.handlers.rows().values_list("pk", "template", "name", Now())[:LIMIT])
    registered = [Handler(*row[:3]) for row in rows]
    by_pk = {one.pk: one for one in registered}
    now = rows[0][3] if rows else datetime.min
    worst, begun = _positions(by_pk, troubles, now)
    return Condition(
        registered,
        worst,
        _states(by_pk),
        begun,
        counting.waiting_letters(LIMIT),
        _halts(),
        _workers(),
        peer_rows.known(),
        _outbox(),
    )


def _halted(handlers: dict[int, Handler]) -> QuerySet[HandlerPosition]:
    """Each by an index of its own: one condition with OR would read all rows."""
    return tables.positions.rows().filter(handler__in=list(handlers), halted__gt="").order_by("halted")


def _stuck(handlers: dict[int, Handler]) -> QuerySet[HandlerPosition]:
    """Those that fail, or can't continue, the first ones first."""
    rows = tables.positions.rows().filter(handler__in=list(handlers), stuck_since__isnull=False)
    return rows.order_by("stuck_since")


def _states(handlers: dict[int, Handler]) -> dict[int, dict[str, int]]:
    held_up = Q(last_error=BLOCKED) | Q(last_error__startswith=AWAY)
    why = Case(When(held_up, then=Value(HELD_UP)), default=Value(STUCK), output_field=CharField())
    halted = _halted(handlers).annotate(of=F("handler_id"), state=Value(HALTED, CharField()))
    stuck = _stuck(handlers).filter(halted="").annotate(of=F("handler_id"), state=why)
    found: dict[int, dict[str, int]] = defaultdict(dict)
    most = COUNTED + 1
    for (pk, state), number in counting.by_columns(("of", "state"), halted[:most], stuck[:most]).items():
        found[pk][state] = number
    return dict(found)


def _positions(handlers: dict[int, Handler], troubles: int, now: datetime) -> tuple[list[Trouble], list[At]]:
    plain = [one.spec.name for one in handled_logs(without_handlers=True) if not one.spec.family]
    begun = tables.positions.rows().filter(key__in=plain, handler__in=list(handlers))
    columns = ("id", "handler", "halted", "halted_text", "attempts", "last_error", *PLACE)
    parts = _halted(handlers)[:troubles], _stuck(handlers)[:troubles], begun[:LIMIT]
    worst, others = [], []
    rows = {row[0]: row[1:] for row in counting.together(HandlerPosition, columns, *parts)}
    for pk, halted, text, attempts, error, *place in rows.values():
        one = handlers[pk]
        at = At.of(one.name, one.template, *place)
        if halted or at.failing:
            age = seconds(place[-1], now)
            worst.append(Trouble(one, at._replace(failing=True), halted, text, attempts, error, age))
        if at.key in plain:
            others.append(at)
    return worst, others


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
    few = outbox.waiting()[: LIMIT + 1], outbox.set_aside()[: LIMIT + 1]
    waiting, aside = (Few(rows.values("pk")) for rows in few)
    first = (
        outbox.waiting().order_by("id").annotate(number=waiting).values_list("number", "created", Now()).first()
    )
    put = outbox.set_aside().order_by("id").annotate(number=aside).values_list("number", "key", "error").first()
    return Outbox(
        0 if first is None else first[0],
        0.0 if first is None else seconds(*first[1:]),
        0 if put is None else put[0],
        "" if put is None else f"{put[1]!r}: {put[2]}",
    )
