"""What one fold tells of itself: events of `telemetry`, and log lines."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any

from via_state import telemetry
from via_state.core.projection import Action, Outcome, Projection, Unread
from via_state.core.records import Batch
from via_state.core.specs import LogSpec
from via_state.logs import about

logger = logging.getLogger("via_state.projector")
_RESET = Action.RESET
_OURS = f"{__name__.partition('.')[0]}."


class FoldReport:
    """Remembers which halt it has announced, so that each is announced once, and taken back."""

    __slots__ = (
        "_began",
        "_behind",
        "_folds",
        "_key",
        "_quiet",
        "_reason",
        "_spec",
        "_unread",
        "loading",
        "origin",
    )

    def __init__(self, key: str, spec: LogSpec[Any]) -> None:
        self._key, self._spec = key, spec
        self._reason: str | None = None
        self._unread: Unread | None = None
        self._began = time.monotonic()
        #: Until there is a value; what the fold began with.
        self.loading, self.origin = True, "genesis"
        self._behind = True  # until the head was reached: what is folded before that was appended long ago
        self._quiet = False  # whether the last batch left nothing to announce, or to take back
        self._folds = telemetry.folds(spec.name, spec.family)
        telemetry.LogLoaded(key, spec.name).emit()

    def ready(self) -> None:
        """There is a value for the first time."""
        self.loading = False
        telemetry.LogReady(self._key, self._spec.name, time.monotonic() - self._began, self.origin).emit()

    def restored(self, origin: str) -> None:
        """The fold continues from a snapshot."""
        self.origin = origin
        self._behind, self._quiet = True, False

    def count(self, outcome: Outcome, projection: Projection[Any], batch: Batch) -> None:
        """After each batch: adds up, and tells at once only what is rare."""
        if outcome.applied:
            folds = self._folds
            folds.events += outcome.applied
            folds.at = projection
            if folds.sample is None and not self._behind:
                folds.sample = batch, time.time()
        if self._quiet and projection.unread is None and projection.halt is None and outcome.action is not _RESET:
            return
        self._announce(outcome, projection)
        if outcome.action is Action.AT_HEAD:
            self._behind = False
        elif outcome.action is _RESET:
            self._behind = True
        self._quiet = not self._behind and self._reason is None and self._unread is None

    def _announce(self, outcome: Outcome, projection: Projection[Any]) -> None:
        if outcome.undecodable or outcome.unknown:
            telemetry.RecordsSkipped(self._key, self._spec.name, outcome.undecodable, outcome.unknown).emit()
        if outcome.action is Action.RESET:
            telemetry.EpochReset(self._key, self._spec.name).emit()
            logger.warning(
                "The history of %r was rewritten: its fold starts over.",
                self._key,
                extra=about(key=self._key, reason="history"),
            )
        if projection.unread != self._unread:
            self._unread = projection.unread
            if self._unread is not None:
                logger.error(
                    "%r is not snapshotted, because its value lacks a record: %s.",
                    self._key,
                    self._unread,
                    extra=about(key=self._key, offset=self._unread.offset, reason="unreadable"),
                )
        reason = None if projection.halt is None else projection.halt.reason.value
        if reason != self._reason:
            self.stop()
            if reason is None:
                logger.info("%r folds again.", self._key, extra=about(key=self._key))
            else:
                raised = outcome.raised
                telemetry.KeyHalted(self._key, self._spec.name, reason).emit()
                logger.error(
                    "%r is halted: %s",
                    self._key,
                    "" if projection.halt is None else projection.halt.text,
                    exc_info=None if raised is None else raised.with_traceback(_project_part(raised)),
                    extra=about(key=self._key, offset=projection.position.offset, reason=reason),
                )
            self._reason = reason

    def stop(self) -> None:
        """It is no longer halted here."""
        if self._reason is not None:
            telemetry.KeyResumed(self._key, self._spec.name, self._reason).emit()
            self._reason = None


def _project_part(error: BaseException) -> TracebackType | None:
    """The traceback of what a fold raised, from the first frame of the project's code on; None where there is none."""
    left = error.__traceback__
    while left is not None and left.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        left = left.tb_next
    return left
