"""When a projection looks for a snapshot to continue from, and which ones it has found wanting."""

from __future__ import annotations

import time
from typing import Any

from via_state.bookkeeping.snapshots import SnapshotStore
from via_state.core.projection import Action, Projection, Unread
from via_state.core.records import Batch, Position
from via_state.core.snapshots import NoRestorePoint, RestorePoint
from via_state.core.specs import LogSpec
from via_state.pod.snapshots.restore import find_restore_point

AGAIN = 60.0  # seconds: a record that could not be read is covered by a later snapshot, perhaps


class Restoring:
    """What one projector remembers of that. ``seeded`` is where the snapshot stood that it continued from last."""

    __slots__ = ("_disproven", "_key", "_seek_at", "_spec", "_store", "_unread", "_unsought", "seeded")

    def __init__(self, key: str, spec: LogSpec[Any], store: SnapshotStore) -> None:
        self._key, self._spec, self._store = key, spec, store
        self._unsought = True  # nobody has looked yet for a snapshot to begin with
        self._unread: Unread | None = None  # the record for which a snapshot that covers it was sought last
        self._seek_at = 0.0  # monotonic time at which it is sought again
        self.seeded: Position | None = None
        self._disproven: frozenset[Position] = frozenset()

    def wanted(self, action: Action, unread: Unread | None) -> bool:
        """Whether to look for a snapshot after a batch."""
        return (
            action is Action.NEEDS_SNAPSHOT  # the beginning is gone
            or (action is Action.ADVANCED and self._unsought)  # there is more of it than one read brings
            or (unread is not None and (unread != self._unread or time.monotonic() >= self._seek_at))
        )

    async def find(self, batch: Batch, projection: Projection[Any]) -> RestorePoint | NoRestorePoint | None:
        """The snapshot to continue from, or why there is none that helps."""
        position, unread = projection.position, projection.unread
        covers = 0 if unread is None else unread.offset
        found = await find_restore_point(self._store, self._key, self._spec, batch, self._disproven, covers)
        if isinstance(found, RestorePoint) and unread is None and found.position.offset <= position.offset:
            found = None  # the fold has come further
        self._unsought, self._unread, self._seek_at = False, unread, time.monotonic() + AGAIN
        if isinstance(found, RestorePoint):
            self.seeded, self._unread = found.position, None
        return found

    def read_to_head(self) -> None:
        """The projection came to the head by itself."""
        self._unsought = False

    def start_over(self, after: Position) -> None:
        """The history up to ``after`` is not the log's any more."""
        self._unsought, self._unread = True, None
        # Another history may hold what an earlier one did not.
        self._disproven = self._disproven | {after} if after == self.seeded else frozenset()
