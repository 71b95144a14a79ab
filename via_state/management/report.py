"""What an operator wants to know of each log."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models.functions import Now

from via_state.conf import settings
from via_state.core.lineage import Pin, decide_floor
from via_state.management.selection import Selected
from via_state.models import HaltedKey, SnapshotRow
from via_state.pod.halts import STALE
from via_state.pod.pins import other_pins
from via_state.pod.snapshots.rows import lineage_of

PAGE = 500  # logs whose rows are read at once


@dataclass
class Halted:
    """One pod on which the key stands still, or would if this code ran; ``since`` is None for the latter."""

    pod: str
    host: str
    reason: str
    text: str
    since: str | None


@dataclass
class LogReport:
    """One log. ``tail``: how far the head is from the snapshot that a start of this code goes on from, in offsets.

    ``snapshot_age`` is in seconds. ``codes``: fingerprints with their newest snapshots' offsets.
    """

    key: str
    declared_as: str | None
    head: int
    floor: int
    pinned_at: int
    pinned_by: str
    snapshot: int | None
    snapshot_age: float | None
    tail: int
    codes: dict[str, int] = field(default_factory=dict)
    halted: list[Halted] = field(default_factory=list)


def reports(logs: Iterable[Selected]) -> Iterator[LogReport]:
    """A report for each log."""
    database = settings.DATABASE
    halted: dict[str, list[Halted]] = {}
    for row in HaltedKey.objects.using(database).filter(prefix=settings.PREFIX, seen__gte=Now() - STALE):
        one = Halted(row.pod, row.host, row.reason, row.text, row.since.isoformat())
        halted.setdefault(row.key, []).append(one)
    left = iter(logs)
    while page := list(itertools.islice(left, PAGE)):
        rows: dict[tuple[str, str], list[SnapshotRow]] = {}
        stored = SnapshotRow.objects.using(database).filter(prefix=settings.PREFIX)
        for snapshot in stored.filter(key__in=[log.key for log in page]).defer("data"):
            rows.setdefault((snapshot.key, snapshot.epoch), []).append(snapshot)
        for log in page:
            yield _report(log, rows.get((log.key, log.head.position.epoch), []), halted.get(log.key, []))


def _report(log: Selected, rows: list[SnapshotRow], halted: list[Halted]) -> LogReport:
    spec = None if log.definition is None else log.definition.built().snapshots
    fingerprint = "" if spec is None else spec.manifest.fingerprint
    own = next((row for row in rows if row.fingerprint == fingerprint), None)
    codes = {row.fingerprint: row.offset for row in rows}
    head, floor = log.head.position.offset, log.head.floor.offset
    pin = _pin(log, own, rows)
    report = LogReport(
        log.key,
        None if log.definition is None else str(log.definition),
        head,
        floor,
        pin.offset,
        pin.why,
        own.offset if own is not None and own.offset else None,
        time.time() - lineage_of(own).saved_at if own is not None and own.offset else None,
        head - max(own.offset if own is not None else 0, 0),
        codes,
        list(halted),
    )
    if own is not None and own.diverged and not any(one.reason == "divergence" for one in halted):
        report.halted.append(Halted("", "", "divergence", own.diverged, None))
    return report


def _pin(log: Selected, own: SnapshotRow | None, rows: list[SnapshotRow]) -> Pin:
    if log.definition is None:
        return Pin(0, "nothing in this code declares it")
    spec = log.definition.built()
    if spec.snapshots is None:
        return Pin(0, "its value can't be stored in a snapshot (manage.py check says why)")
    if not spec.snapshots.compact:
        return Pin(0, "compact=False")
    if own is None:
        return Pin(0, "this code has no snapshot yet")
    others = [(row.fingerprint, lineage_of(row)) for row in rows if row is not own]
    pins = other_pins(spec.name, log.key, log.head.position.epoch)
    return decide_floor(lineage_of(own), others, pins, time.time() - settings.COMPACT_MIN_AGE)
