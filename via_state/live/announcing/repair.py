"""Gaps in what others said: counted, and with ``BROADCAST_KEEP`` asked for.

Each announcement has its sender's next number. What is missing is lost after a moment. With ``BROADCAST_KEEP`` a process keeps what it
said for so many seconds, says every few of them how far it is, and says again what another one asks for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from via_state import telemetry
from via_state.conf import settings
from via_state.live.announcing import announcement
from via_state.live.announcing.announcement import Again, Announcement, Latest
from via_state.live.announcing.kept import Kept
from via_state.live.announcing.sequences import Sequences
from via_state.runtime.rng import rng

#: Seconds for which announcements may overtake each other; then a number that is missing is asked for, or lost.
OVERTAKING = 1.0
#: Seconds between two looks, and between two words on how far this process is.
LOOK, SAY = 0.5, 2.0
#: Numbers in one question.
ASK = 100


class Repair:
    """All on one loop. ``say(data)`` publishes."""

    def __init__(self, sender: str, say: Callable[[bytes], Awaitable[None]]) -> None:
        self._id, self._say = sender, say
        self._sequences = Sequences()
        self._kept = Kept()
        self._lost = self._found = 0
        self._latest = 0
        self._task: asyncio.Task[None] | None = None
        self._saying: set[asyncio.Future[None]] = set()

    def said(self, data: bytes, number: int) -> None:
        """This process says something."""
        self._latest = number
        if settings.BROADCAST_KEEP:
            self._kept.add(number, data, time.monotonic())
            self._look_soon()

    def heard(self, said: Announcement) -> bool:
        """Whether it is new."""
        now = time.monotonic()
        match said.what:
            case Latest():
                self._sequences.reached(said.sender, said.number, now)
                fresh = False
            case Again(sender, numbers):
                if sender == self._id:
                    self._look_soon()
                    for data in self._kept.asked(numbers, now):
                        self._soon(data)
                fresh = False
            case _:
                fresh = self._sequences.take(said.sender, said.number, now)
        if next(self._sequences.missing(now, 0.0), None):
            self._look_soon()
        self._tell()
        return fresh

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    def _soon(self, data: bytes) -> None:
        saying = asyncio.ensure_future(self._say(data))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)

    def _look_soon(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Until nothing is missing, and nothing is kept."""
        told = asked = time.monotonic()
        while True:
            await asyncio.sleep(LOOK * rng.uniform(0.8, 1.2))
            now, keep = time.monotonic(), float(settings.BROADCAST_KEEP)
            if keep and now - asked >= OVERTAKING:
                asked = now
                for sender, numbers in list(self._sequences.missing(now, OVERTAKING)):
                    await self._say_self(Again(sender, tuple(numbers[:ASK])))
            left = self._sequences.give_up(now, max(OVERTAKING, keep))
            self._tell()
            self._kept.forget(now - keep)
            if self._kept and now - told >= SAY:
                told = now
                await self._say_self(Latest())
            if not left and not self._kept:
                return

    async def _say_self(self, what: Again | Latest) -> None:
        await self._say(announcement.encode(Announcement(self._id, self._latest, what)))

    def _tell(self) -> None:
        lost, self._lost = self._sequences.lost - self._lost, self._sequences.lost
        if lost:
            telemetry.BroadcastsLost(lost).emit()
        found, self._found = self._sequences.found - self._found, self._sequences.found
        if found:
            telemetry.BroadcastsFound(found).emit()
