"""Snapshots of the memory backplane: in memory, gone with it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest, SnapshotStore, offer, result_of
from via_state.conf import settings
from via_state.core.records import Position
from via_state.core.snapshot_generations import Generations, RetentionHold, SaveOutcome, decide_floor
from via_state.core.snapshots import Snapshot
from via_state.core.specs import LogSpec
from via_state.exceptions import ValueRefused

Log = tuple[str, str]  # key, epoch


class MemorySnapshots(SnapshotStore):
    """All on the loop, so that everything is atomic."""

    def __init__(self) -> None:
        self._of_codes: dict[Log, dict[str, Generations]] = {}
        self._snapshots: dict[Log, dict[str, dict[Position, Snapshot]]] = {}

    def start(self) -> None:
        """Nothing runs."""

    async def load(self, key: str, epoch: str, *, older: bool = False) -> list[Snapshot]:
        found = self._snapshots.get((key, epoch), {})
        return [one for kept in found.values() for one in list(kept.values())[: None if older else 1]]

    async def positions(self, key: str, epoch: str) -> list[Position]:
        return [one for generations in self._of_codes.get((key, epoch), {}).values() for one in generations.kept]

    async def save(
        self, requests: Sequence[SnapshotRequest], lease_owner: str, *, last: bool = False
    ) -> list[SaveResult]:
        return [self._save(request, lease_owner, last) for request in requests]

    def _save(self, request: SnapshotRequest, lease_owner: str, last: bool) -> SaveResult:
        snapshots = request.spec.snapshots
        assert snapshots is not None
        began = time.perf_counter()
        try:
            data, digest = snapshots.codec.encode(request.value), snapshots.codec.digest(request.value)
        except ValueRefused as error:
            return SaveResult(None, error=str(error))
        generations = self._generations(request.key, request.position.epoch, request.spec)
        now = time.time()
        outcome = offer(generations, request, digest, lease_owner=lease_owner, now=now, last=last)
        if outcome is SaveOutcome.SAVED:
            self._keep(request, generations, Snapshot(request.position, snapshots.manifest, data, digest))
        return result_of(outcome, generations, request, now, time.perf_counter() - began, len(data))

    def _keep(self, request: SnapshotRequest, generations: Generations, snapshot: Snapshot) -> None:
        kept = self._snapshots.setdefault((request.key, request.position.epoch), {})
        before = {**kept.get(snapshot.manifest.fingerprint, {}), snapshot.position: snapshot}
        kept[snapshot.manifest.fingerprint] = {one: before[one] for one in generations.kept}
        for log in [one for one in self._of_codes if one[0] == request.key and one[1] != request.position.epoch]:
            # Nothing survives in memory to which that epoch could come back.
            del self._of_codes[log]
            self._snapshots.pop(log, None)

    def _generations(self, key: str, epoch: str, spec: LogSpec[Any]) -> Generations:
        assert spec.snapshots is not None
        of_codes = self._of_codes.setdefault((key, epoch), {})
        return of_codes.setdefault(spec.snapshots.manifest.fingerprint, Generations())

    async def register(self, key: str, epoch: str, spec: LogSpec[Any]) -> bool:
        if any(one.compacted for one in self._of_codes.get((key, epoch), {}).values()):
            return False
        self._generations(key, epoch, spec)
        return True

    async def adopt(self, request: SnapshotRequest) -> bool:
        snapshots = request.spec.snapshots
        assert snapshots is not None
        generations = self._generations(request.key, request.position.epoch, request.spec)
        data, digest = snapshots.codec.encode(request.value), snapshots.codec.digest(request.value)
        if not generations.begin(request.position, digest, now=time.time(), unusable=request.disproven):
            return False
        self._keep(request, generations, Snapshot(request.position, snapshots.manifest, data, generations.digest))
        return True

    async def decide(
        self, key: str, epoch: str, spec: LogSpec[Any], proven: Collection[Position], *, dry: bool = False
    ) -> RetentionHold:
        own = self._generations(key, epoch, spec)
        of_codes = self._of_codes[key, epoch]
        others = [(name, one) for name, one in of_codes.items() if one is not own]
        hold = decide_floor(own, others, [], time.time() - settings.COMPACT_MIN_AGE, proven)
        if not dry:
            own.compacted = max(own.compacted, hold.offset)
        return hold

    async def diverge(self, key: str, epoch: str, spec: LogSpec[Any], why: str) -> None:
        self._generations(key, epoch, spec).diverged = why

    async def close(self) -> None:
        """Other pods over the same backplane continue to use it."""
