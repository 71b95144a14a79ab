"""Folds the logs that move, so that they are snapshotted and compacted also where no web process reads them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from via_state.core.records import Changes, Position
from via_state.exceptions import KeyHalted
from via_state.handlers.known_keys import HandledLog
from via_state.pod.pod import Pod
from via_state.pod.reading.reconciler import Following
from via_state.runtime.service import Service

logger = logging.getLogger("via_state.handlers")


class ProjectionKeeper(Service):
    """Loads the projections of logs that moved, and of all that are not families. On the pod's loop."""

    role = "projections"

    def __init__(self, pod: Pod, logs: Sequence[HandledLog], wanted: Callable[[str], bool] | None) -> None:
        self._pod = pod
        self._logs = logs
        self._wanted = wanted
        self._following: Following | None = None

    def _see(self, key: str) -> None:
        if self._wanted is not None and not self._wanted(key):
            return
        log = next((one for one in self._logs if one.reads(key)), None)
        if log is not None:
            self._pod.replicas.log(key, log.spec)

    def rang(self, key: str) -> None:
        """It watches no key: what it loads does."""

    def has(self, key: str, position: Position) -> bool:
        """It has nothing."""
        return False

    def mark(self) -> object:
        """Nothing."""

    async def moved(self, changes: Changes, mark: object) -> None:
        """The answer of a sweep."""
        if changes.everything:
            for log in self._logs:
                if not log.spec.family:
                    self._see(log.spec.name)
        for key in changes.logs:
            self._see(key)

    async def settle(self) -> None:
        """Fold every log to its head, and make the snapshots that follow from it."""
        after = ""
        while page := await self._pod.backplane.logs(after):
            for after in page:
                self._see(after)
            try:
                await self._pod.replicas.settle()
            except KeyHalted as error:
                logger.warning("%s", error)

    async def _start(self) -> None:
        self._following = self._pod.reconciler.follow(self)

    async def _stop(self) -> None:
        """The pod writes its last snapshots when it closes."""
        if self._following is not None:
            await self._following.close()
