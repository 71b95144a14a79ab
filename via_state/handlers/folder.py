"""Folds the logs that move, so that they are snapshotted and compacted also where no web process reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from via_state.conf import settings
from via_state.exceptions import Closed, KeyHalted, ViaStateError
from via_state.handlers.worker import HandledLog
from via_state.pod.pod import Pod
from via_state.runtime.rng import rng

logger = logging.getLogger("via_state.handlers")


class Folder:
    """Loads the projections of logs that moved, and of all that are not families. On the pod's loop."""

    def __init__(self, pod: Pod, logs: Sequence[HandledLog], wanted: Callable[[str], bool] | None) -> None:
        self._pod = pod
        self._logs = logs
        self._wanted = wanted
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; return at once."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def _see(self, key: str) -> None:
        if self._wanted is not None and not self._wanted(key):
            return
        log = next((one for one in self._logs if one.reads(key)), None)
        if log is not None:
            self._pod.residents.log(key, log.spec)

    async def _follow(self) -> None:
        cursor: object | None = None
        while True:
            try:
                changes = await self._pod.backplane.changed(cursor)
                if cursor is None or changes.everything:
                    await self._see_all()
                for key in changes.logs:
                    self._see(key)
                cursor = changes.cursor
            except Closed:
                return
            except ViaStateError as error:
                logger.warning("The logs that moved can't be seen now: %s", error)
            await asyncio.sleep(settings.RECONCILE_INTERVAL * rng.uniform(0.8, 1.0))

    async def _see_all(self) -> None:
        for log in self._logs:
            if not log.spec.family:
                self._see(log.spec.name)

    async def settle(self) -> None:
        """Fold every log to its head, and make the snapshots that follow from it."""
        after = ""
        while page := await self._pod.backplane.logs(after):
            for after in page:
                self._see(after)
            try:
                await self._pod.residents.settle()
            except KeyHalted as error:
                logger.warning("%s", error)

    async def stop(self) -> None:
        """End it; the pod writes its last snapshots when it closes."""
        if self._task is not None:
            self._task.cancel()
