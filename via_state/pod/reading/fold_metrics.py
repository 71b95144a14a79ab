"""What one fold tells the metrics and the log."""

from __future__ import annotations

import logging
from typing import Any

from via_state import metrics
from via_state.core.projection import Action, Outcome, Projection, Unread
from via_state.core.specs import LogSpec

logger = logging.getLogger("via_state.projector")

#: Counters of halts, beside the gauge of those that stand still now.
HALTS = {
    "newer": metrics.events_forward_incompatible,
    "gap": metrics.compaction_gap_halt,
    "code": metrics.snapshots_unbridgeable,
}


class FoldMetrics:
    """Remembers which halt it has announced, so that each is announced once, and taken back."""

    __slots__ = ("_key", "_reason", "_spec", "_unread")

    def __init__(self, key: str, spec: LogSpec[Any]) -> None:
        self._key, self._spec = key, spec
        self._reason: str | None = None
        self._unread: Unread | None = None

    def count(self, outcome: Outcome, projection: Projection[Any]) -> None:
        """After each batch."""
        name = self._spec.name
        if outcome.undecodable:
            metrics.events_undecodable.labels(name).inc(outcome.undecodable)
        if outcome.unknown:
            metrics.events_unknown.labels(name).inc(outcome.unknown)
        if outcome.action is Action.RESET:
            metrics.epoch_reset.labels(name).inc()
            logger.warning("The history of %r was rewritten: its fold starts over.", self._key)
        if outcome.applied and not self._spec.family:
            metrics.fold_offset.labels(name).set(projection.position.offset)
        if projection.unread != self._unread:
            self._unread = projection.unread
            if self._unread is not None:
                logger.error(
                    "%r is not snapshotted, because its value lacks a record: %s.", self._key, self._unread
                )
        reason = None if projection.halt is None else projection.halt.reason.value
        if reason != self._reason:
            self.stop()
            if reason is None:
                logger.info("%r folds again.", self._key)
            else:
                metrics.halted.labels(name, reason).inc()
                logger.error("%r stands still: %s", self._key, projection.halt)
                if reason in HALTS:
                    HALTS[reason].labels(name).inc()
            self._reason = reason

    def stop(self) -> None:
        """It no longer stands still here."""
        if self._reason is not None:
            metrics.halted.labels(self._spec.name, self._reason).dec()
            self._reason = None
