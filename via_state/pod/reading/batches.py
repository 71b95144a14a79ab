"""The way of one projection to the head of its log, batch by batch."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from via_state.backplanes.base import Backplane
from via_state.core.records import Batch, Position
from via_state.pod.reading.waiters import Waiters

#: Records in the first read, which most often reaches the head.
FIRST_READ = 1000
#: Seconds after which a fold gives others a turn.
TURN = 0.005
#: Projections of a pod that read in large batches at the same time, and for how many seconds one does before another one may.
REPLAYS, REPLAY_SECONDS = 4, 1.0


class Replays:
    """Bounds what a pod holds of batches that are not folded yet: a few projections read far ahead, all others a little."""

    def __init__(self) -> None:
        self._free = REPLAYS

    def begin(self) -> bool:
        """Whether one more may read ahead. Whoever may says when it has ended."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def end(self) -> None:
        """One reads ahead no more."""
        self._free += 1


class Read(NamedTuple):
    """An answer. ``number``: that of the read, by which those who wait know whether it began after they came."""

    batch: Batch
    number: int


class Pace:
    """How many records are folded before others have a turn: as many as take about `TURN`."""

    __slots__ = ("_began", "records")

    def __init__(self) -> None:
        self.records = FIRST_READ
        self._began = 0.0

    def begin(self) -> None:
        """A part is folded now."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """It is folded. The next one is at most four times as large."""
        seconds = max(time.perf_counter() - self._began, TURN / 4)
        self.records = max(1, int(self.records * TURN / seconds))


class Batches:
    """Reads batch after batch. Where the log is long, in the backplane's own batches, and the next one while one is folded."""

    __slots__ = ("_ahead", "_ahead_of", "_backplane", "_began", "_key", "_replays", "_waiters")

    def __init__(self, key: str, backplane: Backplane, waiters: Waiters[Any], replays: Replays) -> None:
        self._key, self._backplane, self._waiters, self._replays = key, backplane, waiters, replays
        self._began: float | None = None  # when it began to read ahead
        self._ahead: asyncio.Task[Read] | None = None
        self._ahead_of: Position | None = None

    async def read(self, after: Position) -> Read:
        """What follows ``after``. Raises as `Backplane.read`."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if self._ahead_of == after:
                read = await ahead
            else:  # the fold was halted, or continues elsewhere
                ahead.cancel()
                ahead = None
        if ahead is None:
            read = await self._read(after, FIRST_READ)
        self._read_ahead(read.batch)
        return read

    async def _read(self, after: Position, limit: int) -> Read:
        self._waiters.reads += 1
        number = self._waiters.reads
        return Read(await self._backplane.read(self._key, after, limit), number)

    def _read_ahead(self, batch: Batch) -> None:
        """Begin with the next batch, where there is one."""
        if not batch.packs or batch.packs[-1].last >= batch.head.offset:
            self._end()
        elif self._began is not None and time.monotonic() - self._began > REPLAY_SECONDS:
            self._end()  # whoever comes first begins
        elif self._began is not None or self._replays.begin():
            self._began = time.monotonic() if self._began is None else self._began
            end = batch.packs[-1]
            self._ahead_of = Position(batch.head.epoch, end.last, end.record_id(end.last))
            self._ahead = asyncio.get_running_loop().create_task(
                self._read(self._ahead_of, self._backplane.batch_records)
            )
            self._ahead.add_done_callback(_read_outcome)

    def _end(self) -> None:
        if self._began is not None:
            self._began = None
            self._replays.end()

    def close(self) -> None:
        """Read no more."""
        if self._ahead is not None:
            self._ahead.cancel()
        self._end()


def _read_outcome(task: asyncio.Task[Read]) -> None:
    if not task.cancelled():
        task.exception()  # which whoever awaits it is told
