"""What a worker tells of its handlers: figures that return to zero."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from via_state import telemetry


class Shown(Protocol):
    """A handler on a key, as the board shows it: name and declared key, failures of its record, records before it."""

    key: str
    stuck: int
    lag: int
    halted: str

    @property
    def labels(self) -> tuple[str, str]: ...


class WorkerMetrics:
    """Sums and maxima over the keys of a handler. All on the loop."""

    def __init__(self) -> None:
        #: Records that this worker has passed.
        self.handled = 0
        self._stuck: dict[tuple[str, str], dict[Shown, int]] = defaultdict(dict)
        self._waiting: set[Shown] = set()

    def delivered(self, count: int) -> None:
        """So many more records are done."""
        self.handled += count

    def stuck(self, runner: Shown, attempts: int) -> None:
        """The record at which ``runner`` stands has failed so often."""
        if runner.stuck == attempts:
            return
        runner.stuck = attempts
        one = self._stuck[runner.labels]
        if attempts:
            one[runner] = attempts
        else:
            one.pop(runner, None)
        telemetry.HandlerStuck(*runner.labels, max(one.values(), default=0)).emit()

    def lag(self, runner: Shown, events: int) -> None:
        """So many records are still before it."""
        if events != runner.lag:
            telemetry.HandlerLag(*runner.labels, events - runner.lag).emit()
        runner.lag = events
        if events:
            self._waiting.add(runner)
        else:
            self._waiting.discard(runner)

    def halted(self, runner: Shown, reason: str) -> str:
        """It is halted for this reason, or no longer when that is empty."""
        if runner.halted != reason:
            if runner.halted:
                telemetry.HandlerResumed(*runner.labels, runner.key, runner.halted).emit()
            if reason:
                telemetry.HandlerHalted(*runner.labels, runner.key, reason).emit()
        return reason

    def forget(self, runner: Shown) -> None:
        """It is gone from this worker."""
        self.stuck(runner, 0)
        self.lag(runner, 0)
        runner.halted = self.halted(runner, "")

    @property
    def total_lag(self) -> int:
        """Records that all handlers of this worker have before them."""
        return sum(runner.lag for runner in self._waiting)

    @property
    def stuck_now(self) -> int:
        """Handlers whose record fails, by key."""
        return sum(len(one) for one in self._stuck.values())
