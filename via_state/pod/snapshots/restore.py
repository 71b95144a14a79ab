"""Where a fold begins: the best snapshot, brought to this version of the code if need be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from via_state.bookkeeping.snapshots import SnapshotRequest, SnapshotStore
from via_state.core.records import Batch, Position
from via_state.core.snapshots import NoRestorePoint, RestorePoint, choose_restore_point
from via_state.core.specs import LogSpec
from via_state.exceptions import BackplaneUnavailable

ROUNDS = 3  # of being overtaken by another pod's migration


async def find_restore_point(
    store: SnapshotStore,
    key: str,
    spec: LogSpec[Any],
    batch: Batch,
    disproven: Collection[Position],
    unread: int = 0,
) -> RestorePoint | NoRestorePoint | None:
    """See `choose_restore_point`; ``unread`` is the offset of a record that this code can't read. What a migration made is stored before anybody uses it: so all pods continue from the same one.

    Without a base, and where other code has snapshots, it says that this code needs the log from its start.
    """
    if spec.snapshots is None:
        return None
    floor = max(batch.floor.offset, unread, batch.hole and batch.hole + 1)
    for _ in range(ROUNDS):
        snapshots = await store.load(key, batch.head.epoch)
        own = [one for one in snapshots if spec.snapshots.manifest.continues(one.manifest)]
        base = choose_restore_point(spec.snapshots, own, head=batch.head, floor=floor, disproven=disproven)
        if snapshots and not isinstance(base, RestorePoint):
            # The log may have lost what the newest one covers; and only then may other code's help.
            snapshots = await store.load(key, batch.head.epoch, older=True)
            base = choose_restore_point(
                spec.snapshots, snapshots, head=batch.head, floor=floor, disproven=disproven
            )
        if not isinstance(base, RestorePoint):
            if snapshots and not batch.floor.offset and not batch.hole:
                await store.register(key, batch.head.epoch, spec)
            return base
        if not base.migrated:
            return base
        unusable = frozenset(one.position for one in snapshots if one.manifest == spec.snapshots.manifest)
        if await store.adopt(SnapshotRequest(key, spec, base.value, base.position, disproven=unusable)):
            return base
    raise BackplaneUnavailable(f"Other pods are migrating the snapshot of {key!r} at the same time.")
