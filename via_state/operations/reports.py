"""What an operator wants to know of each log."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Count
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables, workers
from via_state.bookkeeping.database.halted_keys import current
from via_state.bookkeeping.database.position_rows import positions_at
from via_state.bookkeeping.database.retention import handler_hold
from via_state.bookkeeping.database.snapshots import DATA, generations_of, seconds_of
from via_state.conf import settings
from via_state.core.snapshot_generations import RetentionHold, decide_floor
from via_state.declarations.catalog import handled_logs
from via_state.models import EventHandler, HandlerPosition, SnapshotRow
from via_state.operations.logs import Selected
from via_state.pod.pod import Pod

PAGE = 500  # logs whose rows are read at once


@dataclass
class Halted:
    """One pod on which the key is halted, or would if this code ran; ``since`` is None for the latter."""

    pod: str
    host: str
    reason: str
    text: str
    since: str | None


@dataclass
class Handled:
    """How far an event handler has come in a log. ``lag`` is in events; ``worker`` is empty while nobody runs it.

    ``halted`` says why it is halted until somebody says where it resumes; while ``stuck_since`` is set, it tries the same
    record again and again.
    """

    name: str
    declared: bool
    offset: int
    lag: int
    attempts: int
    stuck_since: str | None
    error: str
    halted: str
    worker: str
    #: Those that wait for a person.
    dead_letters: int = 0


@dataclass
class LogReport:
    """One log. ``tail``: the events after the snapshot from which a start of this code continues.

    ``parameters`` are those of a family's key, as text. ``snapshot_age`` is in seconds. ``codes``: fingerprints with their newest snapshots' offsets.
    """

    key: str
    declared_as: str | None
    head: int
    floor: int
    pinned_at: int
    held_by: str
    snapshot: int | None
    snapshot_age: float | None
    tail: int
    codes: dict[str, int] = field(default_factory=dict)
    halted: list[Halted] = field(default_factory=list)
    handlers: list[Handled] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def is_halted(self) -> bool:
        """Whether it is halted somewhere, or one of its handlers is."""
        return bool(self.halted) or any(one.halted for one in self.handlers)


def reports(pod: Pod, logs: Iterable[Selected]) -> Iterator[LogReport]:
    """A report for each log. Raises `ViaStateError` when the backplane does not answer."""
    halted: dict[str, list[Halted]] = {}
    for row in current(tables.halted_keys.rows()):
        one = Halted(row.pod, row.host, row.reason, row.text, row.since.isoformat())
        halted.setdefault(row.key, []).append(one)
    register = Register(pod)
    for log, mine, now in _with_snapshots(logs, register):
        yield _report(pod, log, mine, halted.get(log.key, []), register, now)


def holds(pod: Pod, logs: Iterable[Selected]) -> Iterator[tuple[Selected, RetentionHold]]:
    """What keeps the records of each log. On a database thread: the backplane is not asked."""
    register = Register(pod)
    for log, mine, now in _with_snapshots(logs, register):
        yield log, _hold(log, _own(log, mine), mine, register.holds(log), now)


def _with_snapshots(
    logs: Iterable[Selected], register: Register
) -> Iterator[tuple[Selected, list[SnapshotRow], float]]:
    """Each log with the snapshots of its history, and the database's time, by which they are made and records discarded."""
    left = iter(logs)
    while page := list(itertools.islice(left, PAGE)):
        rows: dict[tuple[str, str], list[SnapshotRow]] = {}
        stored = tables.snapshots.rows()
        now = 0.0
        for snapshot in stored.filter(key__in=[log.key for log in page]).annotate(now=Now()).defer(*DATA):
            rows.setdefault((snapshot.key, snapshot.epoch), []).append(snapshot)
            now = seconds_of(snapshot.now)
        register.read([log.key for log in page])
        for log in page:
            yield log, rows.get((log.key, log.head.position.epoch), []), now


class Register:
    """The event handlers, and their positions in a page of logs."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._handlers = list(tables.handlers.rows().order_by("name"))
        self._code = {(log.spec.name, name) for log in handled_logs() for name in log.handlers}
        self._workers = {row.pk: str(row) for row in workers.alive()}
        self._rows: dict[str, dict[int, HandlerPosition]] = {}
        self._letters: dict[tuple[str, str], int] = {}

    def read(self, keys: list[str]) -> None:
        """Read the positions in these logs."""
        self._rows = {key: {} for key in keys}
        rows = positions_at([row.pk for row in self._handlers], keys)
        for row in rows.defer("last_traceback"):
            self._rows[row.key][row.handler_id] = row
        waiting = tables.dead_letters.rows().filter(status="new", key__in=keys).order_by()
        counts = waiting.values_list("key", "handler").annotate(letters=Count("pk"))
        self._letters = {(key, name): count for key, name, count in counts}

    def holds(self, log: Selected) -> list[RetentionHold]:
        """What the handlers keep of a log."""
        epoch = log.head.position.epoch
        return [handler_hold(handler.name, row, epoch) for handler, row in self._of(log)]

    def handled(self, log: Selected) -> list[Handled]:
        """How far the handlers of a log have come."""
        found = [self._handled(handler, row, log) for handler, row in self._of(log)]
        for one in found:
            one.dead_letters = self._letters.get((log.key, one.name), 0)
        return found

    def _of(self, log: Selected) -> Iterator[tuple[EventHandler, HandlerPosition | None]]:
        name = None if log.definition is None else log.definition.wire().text
        rows = self._rows[log.key]
        for handler in self._handlers:
            if handler.template == name or handler.pk in rows:
                yield handler, rows.get(handler.pk)

    def _handled(self, handler: EventHandler, row: HandlerPosition | None, log: Selected) -> Handled:
        declared = (handler.template, handler.name) in self._code
        if row is None:
            lag = _behind(self._pod, log, 0)
            return Handled(handler.name, declared, 0, lag, 0, None, "", "", "")
        since = None if row.stuck_since is None else row.stuck_since.isoformat()
        halted = f"{row.halted}: {row.halted_text}" if row.halted else ""
        worker = self._workers.get(row.worker, "")
        lag = _behind(self._pod, log, row.offset)
        return Handled(
            handler.name, declared, row.offset, lag, row.attempts, since, row.last_error, halted, worker
        )


def _behind(pod: Pod, log: Selected, offset: int) -> int:
    """The events after an offset."""
    if offset >= log.head.position.offset:
        return 0  # nobody needs to be asked
    return pod.thread.call(pod.backplane.count(log.key, offset, log.head))


def _report(
    pod: Pod,
    log: Selected,
    rows: list[SnapshotRow],
    halted: list[Halted],
    register: Register,
    now: float,
) -> LogReport:
    own = _own(log, rows)
    codes = {row.fingerprint: row.offset for row in rows}
    head, floor = log.head.position.offset, log.head.floor.offset
    hold = _hold(log, own, rows, register.holds(log), now)
    report = LogReport(
        log.key,
        None if log.definition is None else str(log.definition),
        head,
        floor,
        hold.offset,
        hold.why,
        own.offset if own is not None and own.offset else None,
        now - generations_of(own).saved_at if own is not None and own.offset else None,
        _behind(pod, log, own.offset if own is not None else 0),
        codes,
        list(halted),
        register.handled(log),
        {} if log.definition is None else log.definition.wire().parse(log.key),
    )
    if own is not None and own.diverged and not any(one.reason == "divergence" for one in halted):
        report.halted.append(Halted("", "", "divergence", own.diverged, None))
    return report


def _own(log: Selected, rows: list[SnapshotRow]) -> SnapshotRow | None:
    """The row of this code."""
    spec = None if log.definition is None else log.definition.built().snapshots
    fingerprint = "" if spec is None else spec.manifest.fingerprint
    return next((row for row in rows if row.fingerprint == fingerprint), None)


def _hold(
    log: Selected, own: SnapshotRow | None, rows: list[SnapshotRow], holds: list[RetentionHold], now: float
) -> RetentionHold:
    if log.definition is None:
        return RetentionHold(0, "nothing in this code declares it", "declaration")
    spec = log.definition.built()
    if spec.snapshots is None:
        return RetentionHold(0, "its value can't be stored in a snapshot (manage.py check says why)", "unstorable")
    if not spec.snapshots.compact:
        return RetentionHold(0, "compact=False", "declaration")
    if own is None:
        return RetentionHold(0, "this code has no snapshot yet", "age")
    others = [(row.fingerprint, generations_of(row)) for row in rows if row is not own]
    stored = [one for row in rows for one in generations_of(row).kept]  # a report takes them as they are
    return decide_floor(generations_of(own), others, holds, now - settings.COMPACT_MIN_AGE, stored)
