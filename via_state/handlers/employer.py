"""What a runner knows of the worker that it works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.positions import HandlerId, PositionStore
from via_state.core.records import Position
from via_state.handlers.claims import Claims, Reads
from via_state.handlers.schedule import Schedule
from via_state.handlers.worker_metrics import WorkerMetrics
from via_state.runtime.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from via_state.handlers.runner import Runner


class Employer(Protocol):
    """The worker that a runner works for."""

    id: str
    lease: float
    stopping: bool
    backplane: Backplane
    store: PositionStore
    threads: WorkerThreads
    measures: WorkerMetrics
    schedule: Schedule
    claims: Claims
    reads: Reads

    def may_continue(self) -> bool: ...

    def owns(self, handler: HandlerId, key: str) -> bool: ...

    def done(self, handler: HandlerId, key: str, position: Position) -> None: ...

    def dismiss(self, *runners: Runner) -> None: ...
