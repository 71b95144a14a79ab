"""The figures that metrics show of all processes: of rows, and the first event that each handler has not had."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from django.db.models import Q
from django.db.models.functions import Now

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import counting, halted_keys, leases, outbox, tables, workers
from via_state.bookkeeping.peers import Code
from via_state.bookkeeping.positions import BLOCKED
from via_state.core.delivery import Treatment, records_after
from via_state.core.metadata import metadata_of
from via_state.core.records import GENESIS, Batch, LogBounds, Position
from via_state.declarations.catalog import handled_logs
from via_state.handlers.known_keys import HandledLog
from via_state.operations.pinned import pinned
from via_state.pod.pod import Pod

#: Figures by the values of their labels, by metric.
Facts: TypeAlias = "dict[str, dict[tuple[str, ...], float]]"

#: Rows of one statement, logs of one look; positions whose next record is read, those that fail first; and how many at once.
LIMIT, READS, AT_ONCE = 10_000, 200, 8
#: Records of one read, and reads of one position: among so many somebody's are looked for who wants few of them.
RECORDS, TRIES = 500, 4
#: Records of each log that are read of all logs at once.
FEW = 20
STATES = ("idle", "running", "stuck", "blocked", "halted")


class At(NamedTuple):
    """A position: of which handler (name and declared key), and where it is."""

    name: str
    template: str
    key: str
    position: Position
    failing: bool

    @classmethod
    def of(
        cls, name: str, template: str, key: str, epoch: str, offset: int, record_id: str, stuck: datetime | None
    ) -> At:
        """Of the columns `PLACE` of a row, after what its handler is called."""
        return cls(name, template, key, Position(epoch, offset, record_id), stuck is not None)


#: The columns of a position's row that `At.of` takes.
PLACE = "key", "epoch", "offset", "record_id", "stuck_since"


class Rows(NamedTuple):
    """What the database says. ``handlers``: name and declared key of those that are registered."""

    handlers: list[tuple[str, str]]
    positions: list[At]
    facts: Facts


async def gather(pod: Pod, prefix: str) -> Facts:
    """One look. On the pod's loop. Raises what the database and the backplane raise."""
    rows, heads = await pod.database.run(read_rows), await _heads(pod.backplane)
    places = late(rows.handlers, rows.positions, heads)
    rows.facts["via_consumer_oldest_timestamp_seconds"] = await oldest_of(pod.backplane, places)
    rows.facts["via_floor_pinned_logs"] = await pinned(pod, prefix, heads)
    return rows.facts


# Rows: on a database thread -------------------------------------------------------------------------------


def read_rows() -> Rows:
    """Everything that is in tables."""
    registered = {
        pk: (name, log) for pk, name, log in tables.handlers.rows().values_list("pk", "name", "template")[:LIMIT]
    }
    handlers = sorted(set(registered.values()))
    alive = set(workers.alive().values_list("pk", flat=True)[:LIMIT])
    lost = tables.workers.rows().filter(lease_until__lte=Now())[:LIMIT].count()
    positions, states = _positions(registered, alive)
    counted: dict[tuple[str, ...], float] = {(*handler, state): 0.0 for handler in handlers for state in STATES}
    waiting, since = _letters()
    facts: Facts = {
        "via_workers": {("alive",): float(len(alive)), ("lost",): float(lost)},
        "via_consumer_positions": {**counted, **states},
        "via_deadletters_waiting": {**dict.fromkeys(handlers, 0.0), **waiting},
        "via_deadletters_oldest_timestamp_seconds": since,
        "via_pods": _pods(),
        "via_halted_pods": _halted(),
        **_outbox(),
    }
    return Rows(handlers, positions, facts)


def _positions(
    registered: Mapping[int, tuple[str, str]], alive: set[str]
) -> tuple[list[At], dict[tuple[str, ...], float]]:
    rows = tables.positions.rows().filter(handler__in=list(registered))
    trouble = ~Q(halted="") | Q(stuck_since__isnull=False)
    columns = ("handler_id", "halted", "last_error", "worker", "in_flight_offset", *PLACE)
    found = list(rows.filter(trouble).order_by("stuck_since").values_list(*columns)[:LIMIT])
    found += rows.exclude(trouble).values_list(*columns)[: LIMIT - len(found)]
    states: Counter[tuple[str, ...]] = Counter()
    places = []
    for pk, halted, error, worker, in_flight, *place in found:
        at = At.of(*registered[pk], *place)
        if halted:
            state = "halted"
        elif error == BLOCKED:
            state = "blocked"
        elif at.failing:
            state = "stuck"
        else:
            state = "running" if in_flight and worker in alive else "idle"
        states[*registered[pk], state] += 1
        places.append(at)
    return places, {labels: float(count) for labels, count in states.items()}


def _letters() -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Dead letters that wait, and since when the oldest does."""
    now = time.time()
    found = counting.waiting_letters(LIMIT)
    waiting: dict[tuple[str, ...], float] = {of: float(one.number) for of, one in found.items()}
    return waiting, {of: now - one.age for of, one in found.items()}


def _pods() -> dict[tuple[str, ...], float]:
    """Processes that are alive, by what they do beside reading and writing state, and by their code."""
    rows = tables.peers.rows().filter(leases.holds()).values_list("roles", "fingerprints", "events")[:LIMIT]
    found = Counter[tuple[str, ...]](
        (roles or "state", Code(prints, events).release) for roles, prints, events in rows
    )
    return {labels: float(count) for labels, count in found.items()}


def _halted() -> dict[tuple[str, ...], float]:
    logs = handled_logs(without_handlers=True)
    found: Counter[tuple[str, ...]] = Counter()
    for key, reason in halted_keys.current(tables.halted_keys.rows()).values_list("key", "reason")[:LIMIT]:
        found[template_of(key, logs), reason] += 1
    return {labels: float(count) for labels, count in found.items()}


def template_of(key: str, logs: list[HandledLog]) -> str:
    """The declared key of a key; what nothing in this code declares is "undeclared"."""
    return next((one.spec.name for one in logs if one.reads(key)), "undeclared")


def _outbox() -> Facts:
    found = outbox.backlog()
    facts: Facts = {
        "via_outbox_waiting": {(): float(found.waiting)},
        "via_outbox_set_aside": {(): float(found.aside)},
    }
    if found.waiting:
        facts["via_outbox_oldest_timestamp_seconds"] = {(): time.time() - found.oldest}
    return facts


# Logs: on the loop ----------------------------------------------------------------------------------------


async def oldest_of(backplane: Backplane, places: list[At]) -> dict[tuple[str, ...], float]:
    """When the first event was appended that each handler has not had, of positions that have records after them; by handler and declared
    key. At most `READS` are looked at, those that fail first.
    """
    late = sorted(places, key=lambda one: not one.failing)
    logs = {one.spec.name: one for one in handled_logs(without_handlers=True)}
    # In one question, of each key for the position that is looked at first: what its handler wants is mostly among the next few records.
    begin = {at.key: at.position for at in reversed(late[:READS])}
    batches = await backplane.read_many(begin, FEW) if begin else {}
    left = iter(late[:READS])
    found: dict[tuple[str, ...], float] = {}

    async def look() -> None:
        for at in left:
            batch = batches.get(at.key) if begin[at.key] == at.position else None
            seconds = await first_after(backplane, at, logs.get(at.template), batch)
            labels = at.name, at.template
            if seconds is not None and seconds < found.get(labels, float("inf")):
                found[labels] = seconds

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(late))):
            group.create_task(look())
    return found


async def _heads(backplane: Backplane) -> dict[str, LogBounds]:
    heads: dict[str, LogBounds] = {}
    while len(heads) < LIMIT and (page := await backplane.logs(next(reversed(heads), ""))):
        heads.update(page)
    return heads


def late(handlers: list[tuple[str, str]], positions: list[At], heads: Mapping[str, LogBounds]) -> list[At]:
    """The positions that have records after them, and logs that a handler (name and declared key) has not begun."""
    found = []
    begun = set()
    for at in positions:
        begun.add((at.name, at.template, at.key))
        head = heads.get(at.key)
        if head is not None and (head.position.offset, head.position.epoch) != (
            at.position.offset,
            at.position.epoch,
        ):
            found.append(at)
    templates = {template for _, template in handlers}
    logs = [one for one in handled_logs(without_handlers=True) if one.spec.name in templates]
    for key, head in heads.items():
        if not head.position.offset:
            continue
        template = template_of(key, logs)
        for name, log in handlers:
            if log == template and (name, log, key) not in begun:
                found.append(At(name, log, key, GENESIS, False))
    return found


async def first_after(
    backplane: Backplane, at: At, log: HandledLog | None, batch: Batch | None = None
) -> float | None:
    """When the first event after a position was appended that its handler wants; None where there is none, or it has no time.

    ``batch``: what was read after the position already.
    """
    position = at.position
    for _ in range(TRIES):
        if batch is None:
            batch = await backplane.read(at.key, position, RECORDS)
        spec: Any = None if log is None else log.handlers.get(at.name)
        if spec is None or log is None:  # of code that is not this one's
            pack = next((one for one in batch.packs if one.last > position.offset), None)
            return None if pack is None else _time(pack.data, pack.count, max(0, position.offset + 1 - pack.first))
        last = None
        for record in records_after(batch, position, log.spec.events, spec.events):
            if record.treatment is not Treatment.PASS:
                pack = record.pack
                return _time(pack.data, pack.count, record.position.offset - pack.first)
            last = record.position
        if last is None or last.offset >= batch.head.offset:
            return None
        position, batch = last, None
    return None


def _time(data: bytes, count: int, index: int) -> float | None:
    seconds = metadata_of(data, count, index).time / 1000
    return seconds or None
