"""Snapshots as rows of the project's database, whichever backplane carries the logs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings as django_settings
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.retention import handler_holds, lock_log
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest, SnapshotStore, offer, result_of
from via_state.conf import settings
from via_state.core.manifest import Manifest
from via_state.core.records import GENESIS, Position
from via_state.core.snapshot_generations import Generations, RetentionHold, SaveOutcome, decide_floor
from via_state.core.snapshots import Snapshot, SnapshotSpec
from via_state.core.specs import LogSpec
from via_state.exceptions import BackplaneUnavailable, ValueRefused
from via_state.logs import about

if TYPE_CHECKING:
    from via_state.models import SnapshotRow

logger = logging.getLogger("via_state.snapshots")

#: Rows of other epochs leave when they are this old: a restored log may bring its epoch back.
KEEP_EPOCHS = timedelta(days=7)


#: The columns that are large, the newest snapshot's first.
DATA = ("data", "candidate_data", "compactable_data")


def log_hash(prefix: str, key: str, epoch: str) -> str:
    """What a row's ``log`` column holds."""
    return hashlib.blake2b(f"{prefix}\0{key}\0{epoch}".encode(), digest_size=16).hexdigest()


class RowSnapshots(OnThreads, SnapshotStore):
    """Each verb is one function on a database thread."""

    WHAT = "snapshots"

    def start(self) -> None:
        self._threads.start()

    async def load(self, key: str, epoch: str, *, older: bool = False) -> list[Snapshot]:
        return await self._run(_load, key, epoch, older)

    async def positions(self, key: str, epoch: str) -> list[Position]:
        return await self._run(_positions, key, epoch)

    async def save(
        self, requests: Sequence[SnapshotRequest], lease_owner: str, *, last: bool = False
    ) -> list[SaveResult]:
        return await self._run(lambda: [_save(request, lease_owner, last) for request in requests])

    async def register(self, key: str, epoch: str, spec: LogSpec[Any]) -> bool:
        return await self._run(_register, key, epoch, spec)

    async def adopt(self, request: SnapshotRequest) -> bool:
        return await self._run(_adopt, request)

    async def decide(
        self, key: str, epoch: str, spec: LogSpec[Any], proven: Collection[Position], *, dry: bool = False
    ) -> RetentionHold:
        return await self._run(_decide, key, epoch, spec, proven, dry)

    async def diverge(self, key: str, epoch: str, spec: LogSpec[Any], why: str) -> None:
        await self._run(_diverge, key, epoch, spec, why)

    async def close(self) -> None:
        """The threads belong to the pod."""


def _rows(key: str, epoch: str) -> QuerySet[SnapshotRow]:
    return tables.snapshots.rows().filter(log_hash=log_hash(settings.PREFIX, key, epoch))


def _load(key: str, epoch: str, older: bool) -> list[Snapshot]:
    rows = _rows(key, epoch) if older else _rows(key, epoch).defer(*DATA[1:])
    return [snapshot for row in rows for snapshot in _snapshots(row, older)]


def _positions(key: str, epoch: str) -> list[Position]:
    return [one for row in _rows(key, epoch).defer(*DATA) for one in generations_of(row).kept]


def _snapshots(row: SnapshotRow, older: bool) -> list[Snapshot]:
    if row.data is None:
        return []
    try:
        manifest = Manifest.parse(row.manifest)
    except (msgspec.MsgspecError, ValueError):
        logger.warning(
            "The snapshot %s of %r has a manifest of another version of via_state.",
            row.pk,
            row.key,
            extra=about(key=row.key, offset=row.offset, reason="manifest"),
        )
        return []
    generations = generations_of(row)
    kept: list[tuple[Position, bytes | memoryview | None, str]] = [(generations.newest, row.data, row.digest)]
    if older:
        kept += [
            (generations.candidate, row.candidate_data, ""),
            (generations.compactable, row.compactable_data, ""),
        ]
    return [
        Snapshot(position, manifest, bytes(data), digest) for position, data, digest in kept if data is not None
    ]


def _spec(request: SnapshotRequest) -> SnapshotSpec[Any]:
    assert request.spec.snapshots is not None
    return request.spec.snapshots


def _save(request: SnapshotRequest, lease_owner: str, last: bool) -> SaveResult:
    snapshots, began = _spec(request), perf_counter()
    try:
        data, digest = snapshots.codec.encode(request.value), snapshots.codec.digest(request.value)
    except ValueRefused as error:
        return SaveResult(None, error=str(error))
    own = _rows(request.key, request.position.epoch).filter(fingerprint=snapshots.manifest.fingerprint)
    with tables.atomic():
        row, now = _locked(own)
        if row is None:
            row, now = _created(request.key, request.position.epoch, request.spec)
        generations = generations_of(row)
        outcome = offer(generations, request, digest, lease_owner=lease_owner, now=now, last=last)
        if outcome in (SaveOutcome.SAVED, SaveOutcome.DIVERGED) or (last and outcome is not SaveOutcome.UNPROVEN):
            _write(row, generations, data if outcome is SaveOutcome.SAVED else None)
    return result_of(outcome, generations, request, now, perf_counter() - began, len(data))


def _locked(rows: QuerySet[SnapshotRow]) -> tuple[SnapshotRow | None, float]:
    """The row, which nobody else changes until the transaction ends, and the database's time."""
    # Writing locks it on every vendor.
    if not rows.update(lease_owner=F("lease_owner")):
        return None, 0.0
    row = rows.defer(*DATA).annotate(now=Now()).get()
    return row, seconds_of(row.now)


def _created(key: str, epoch: str, spec: LogSpec[Any]) -> tuple[SnapshotRow, float]:
    """A new row of this code; somebody else's if they were faster. Locked."""
    assert spec.snapshots is not None
    manifest = spec.snapshots.manifest
    tables.snapshots.add(
        tables.snapshots.new(
            log_hash=log_hash(settings.PREFIX, key, epoch),
            fingerprint=manifest.fingerprint,
            template=spec.name,
            key=key,
            epoch=epoch,
            version=manifest.version,
            manifest=manifest.text,
            saved_at=timezone.now(),
        ),
        keep=True,
    )
    row, now = _locked(_rows(key, epoch).filter(fingerprint=manifest.fingerprint))
    if row is None:
        raise BackplaneUnavailable(f"The snapshot of {key!r} was retired in this moment.")
    return row, now


def generations_of(row: SnapshotRow) -> Generations:
    """What a row says, without its data."""
    return Generations(
        Position(row.epoch, row.offset, row.record_id) if row.offset else GENESIS,
        seconds_of(row.saved_at),
        row.digest,
        Position(row.epoch, row.candidate, row.candidate_record_id) if row.candidate else GENESIS,
        seconds_of(row.candidate_at),
        Position(row.epoch, row.compactable, row.compactable_record_id) if row.compactable else GENESIS,
        row.compacted,
        row.lease_owner,
        seconds_of(row.lease_until),
        row.diverged,
    )


def seconds_of(time: datetime | None) -> float:
    """Seconds since the epoch of a time that the database gave, which is naive without ``USE_TZ``; 0 for None."""
    if time is None:
        return 0.0
    return (timezone.make_aware(time) if timezone.is_naive(time) else time).timestamp()


def _time(seconds: float) -> datetime | None:
    if not seconds:
        return None
    time = datetime.fromtimestamp(seconds, UTC)
    return time if django_settings.USE_TZ else timezone.make_naive(time)


def _write(row: SnapshotRow, generations: Generations, data: bytes | None = None) -> None:
    """``data`` is the newest one's, if that is a new one; the data of older ones moves inside the database."""
    before = generations_of(row)
    columns: dict[Position, Any] = {
        before.compactable: F("compactable_data"),
        before.candidate: F("candidate_data"),
        before.newest: F("data"),
    }
    columns[GENESIS] = None
    changes: dict[str, Any] = {}
    # In this order: one database assigns from left to right.
    if generations.compactable != before.compactable:
        changes["compactable_data"] = columns[generations.compactable]
    if generations.candidate != before.candidate:
        changes["candidate_data"] = columns[generations.candidate]
    changes |= {
        "offset": generations.newest.offset,
        "record_id": generations.newest.record_id,
        "saved_at": _time(generations.saved_at) or row.saved_at,
        "digest": generations.digest,
        "candidate": generations.candidate.offset,
        "candidate_record_id": generations.candidate.record_id,
        "candidate_at": _time(generations.candidate_at),
        "compactable": generations.compactable.offset,
        "compactable_record_id": generations.compactable.record_id,
        "lease_owner": generations.lease_owner,
        "lease_until": _time(generations.lease_until),
        "diverged": generations.diverged,
    }
    if data is not None:
        changes["data"] = data
    tables.snapshots.rows().filter(pk=row.pk).update(**changes)


def _register(key: str, epoch: str, spec: LogSpec[Any]) -> bool:
    with tables.atomic():
        lock_log(spec.name)
        if _rows(key, epoch).filter(compacted__gt=0).exists():
            return False
        _created(key, epoch, spec)
    return True


def _adopt(request: SnapshotRequest) -> bool:
    snapshots = _spec(request)
    with tables.atomic():
        lock_log(request.spec.name)
        row, now = _created(request.key, request.position.epoch, request.spec)
        generations = generations_of(row)
        digest = snapshots.codec.digest(request.value)
        if not generations.begin(request.position, digest, now=now, unusable=request.disproven):
            return False
        _write(row, generations, snapshots.codec.encode(request.value))
    return True


def _decide(key: str, epoch: str, spec: LogSpec[Any], proven: Collection[Position], dry: bool) -> RetentionHold:
    assert spec.snapshots is not None
    fingerprint = spec.snapshots.manifest.fingerprint
    with tables.atomic():
        if not dry:
            lock_log(spec.name)
        rows = list(_rows(key, epoch).annotate(now=Now()).defer(*DATA))
        own = next((row for row in rows if row.fingerprint == fingerprint), None)
        if own is None:
            return RetentionHold(0, f"this code ({fingerprint}) has no snapshot yet", "age")
        old = seconds_of(own.now) - settings.COMPACT_MIN_AGE
        others = [(row.fingerprint, generations_of(row)) for row in rows if row is not own]
        hold = decide_floor(generations_of(own), others, handler_holds(spec.name, key, epoch), old, proven)
        if not dry and hold.offset > own.compacted:
            own.compacted = hold.offset
            tables.save(own, "compacted")
            stale = own.now - KEEP_EPOCHS
            same = tables.snapshots.rows().filter(key=key)
            same.exclude(epoch=epoch).filter(saved_at__lt=stale).delete()
    return hold


def _diverge(key: str, epoch: str, spec: LogSpec[Any], why: str) -> None:
    with tables.atomic():
        row, _ = _created(key, epoch, spec)
        row.diverged = row.diverged or why
        tables.save(row, "diverged")
