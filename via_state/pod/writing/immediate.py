"""Appends that wait for nothing: where the backplane is this process's memory, they are made in the thread of whoever calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future

from via_state import telemetry, tracing
from via_state.backplanes.base import Backplane
from via_state.core.records import Position
from via_state.exceptions import ViaStateError
from via_state.pod.writing.answers import reason
from via_state.pod.writing.folding import Appended, Folding
from via_state.runtime.loop import LoopThread

#: So many appends of tasks, and the next one lets other tasks of its loop have a turn: nothing else in it would.
IN_A_ROW = 64


class ImmediateAppends:
    """All appends of one pod over a backplane that is ``immediate``: from any thread, and in the order of the calls."""

    def __init__(
        self, thread: LoopThread, backplane: Backplane, appended: Appended, holds: Callable[[str], bool]
    ) -> None:
        """``holds``: whether this pod folds a key; from any thread."""
        self._thread, self._backplane, self._holds = thread, backplane, holds
        self._folding = Folding(thread, appended)
        self._in_a_row = 0

    def append(self, key: str, data: bytes, count: int, *, folded: bool) -> Position:
        """The position of the last record, or what keeps it from the log. ``folded``: not before this pod has folded it, or will not soon."""
        last = self._append(key, data, count)
        if folded and self._holds(key):
            waiter: Future[Position] = Future()
            self._folding.wait(key, last, waiter)
            waiter.result()
        return last

    async def aappend(self, key: str, data: bytes, count: int, *, folded: bool) -> Position:
        """`append`, awaited."""
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)
        last = self._append(key, data, count)
        if folded and self._holds(key):
            waiter: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
            self._folding.wait(key, last, waiter)
            await waiter
        return last

    def _append(self, key: str, data: bytes, count: int) -> Position:
        started = time.monotonic()
        self._thread.refuse_ended()
        try:
            with tracing.publishing(((data, count),)):
                last = self._backplane.append_now(key, count, data)
        except ViaStateError as error:
            telemetry.AppendFailed(reason(error), 1).emit()
            raise
        telemetry.appended(key, count, (time.monotonic() - started,))
        return last

    async def close(self) -> None:
        """Nothing is in flight here; those who wait for a fold are told when the projections stop."""
        self._folding.forget()
