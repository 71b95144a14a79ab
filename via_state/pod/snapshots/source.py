"""The snapshots of one projection: when one is due, what goes into it, and what became of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from via_state import telemetry
from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest
from via_state.conf import settings
from via_state.core.projection import Projection
from via_state.core.records import Position
from via_state.core.snapshot_generations import SaveOutcome
from via_state.core.specs import LogSpec
from via_state.core.visibility import Visibility
from via_state.logs import about
from via_state.pod.snapshots.snapshotter import Snapshotter

logger = logging.getLogger("via_state.projector")

REFUSED_RETRY = 60.0  # seconds: a value that can't be stored, or lacks records, is looked at again


class SnapshotSource:
    """See `snapshotter.Source`. ``ring`` makes the projector look at the log again."""

    __slots__ = (
        "_drafted",
        "_folded",
        "_projection",
        "_snapshotter",
        "_visibility",
        "diverged",
        "key",
        "ring",
        "snapshot_at",
        "spec",
    )

    def __init__(
        self,
        key: str,
        spec: LogSpec[Any],
        snapshotter: Snapshotter,
        projection: Projection[Any],
        visibility: Visibility[Any],
        ring: Callable[[], None],
    ) -> None:
        self.key, self.spec, self.ring = key, spec, ring
        self._snapshotter, self._projection, self._visibility = snapshotter, projection, visibility
        #: Monotonic time before which no snapshot is wanted.
        self.snapshot_at = 0.0
        #: Why this fold is not pure, once that was seen.
        self.diverged: str | None = None
        self._folded = 0  # since the last snapshot
        self._drafted = 0  # of these, in the snapshot that is being made

    @property
    def position(self) -> Position:
        """How far the log is folded."""
        return self._projection.position

    @property
    def _interval(self) -> int:
        if self.spec.snapshots is None:
            return 0
        interval = self.spec.snapshots.interval
        return settings.SNAPSHOT_INTERVAL if interval is None else interval

    @property
    def due(self) -> bool:
        """Whether a snapshot is to be made soon."""
        return self._snapshotter.waits_for(self)

    def folded(self, events: int) -> None:
        """More of the log is folded, and not in a snapshot yet."""
        self._folded += events

    def start_over(self) -> None:
        """The fold begins again, from the beginning of the log or from a snapshot."""
        self._folded = self._drafted = 0

    def consider(self) -> None:
        """Make a snapshot soon, if it is time for one."""
        interval = self._interval
        if interval and self._folded >= interval:
            self._snapshotter.due(self)

    def request(self) -> SnapshotRequest | None:
        """What to store in a snapshot now; None while the value is not the fold of the whole log by this code."""
        projection = self._projection
        if (
            not self._folded
            or not projection.position.offset
            or not self._interval
            or self._visibility.rebuilding
            or projection.halt is not None
            or projection.unread is not None
            or self.diverged is not None
        ):
            return None
        self._drafted = self._folded
        return SnapshotRequest(self.key, self.spec, projection.value, projection.position)

    def snapshot_taken(self, request: SnapshotRequest, answer: SaveResult) -> None:
        """What became of a request."""
        if answer.outcome is None:
            # Another value may be storable, later.
            self.snapshot_at = time.monotonic() + REFUSED_RETRY
            telemetry.SnapshotRefused(self.key, self.spec.name, answer.error).emit()
            logger.error(
                "%r has no new snapshot: %s", self.key, answer.error, extra=about(key=self.key, reason="snapshot")
            )
            return
        if answer.compared:
            telemetry.SnapshotCompared(self.key, self.spec.name, answer.compared).emit()
        if answer.outcome in (SaveOutcome.DIVERGED, SaveOutcome.STOPPED):
            self._diverge(answer.error)
        elif answer.outcome is SaveOutcome.UNPROVEN:
            self._snapshotter.due(self)
        else:
            if answer.outcome is SaveOutcome.SAVED:
                telemetry.SnapshotSaved(self.key, self.spec.name, answer.seconds, answer.size).emit()
            self._folded -= self._drafted
            self.consider()

    def found_impure(self, why: str) -> None:
        """This pod saw that the fold is not pure: no pod makes snapshots of this code any more."""
        if self.diverged is None:
            self._diverge(why)
            self._snapshotter.stop(self, why)

    def _diverge(self, why: str) -> None:
        self.diverged = why
        self.ring()  # so that it is listed with what is halted
        telemetry.FoldDiverged(self.key, self.spec.name, why).emit()
        logger.error(
            "%r is no longer snapshotted nor compacted: %s. Make its folds pure.",
            self.key,
            why,
            extra=about(key=self.key, reason="divergence"),
        )

    def forget(self) -> None:
        """The projector leaves."""
        self._snapshotter.forget(self)
