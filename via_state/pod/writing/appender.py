"""Group commit: what waits for the backplane travels together, the appends of one key as one, and those of many keys as one train."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from via_state import telemetry, tracing
from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.core.records import Position
from via_state.core.text import error_line
from via_state.exceptions import (
    AppendOutcomeUnknown,
    AppendTooLarge,
    BackplaneRefused,
    BackplaneUnavailable,
    Closed,
    LoopEnded,
    OutcomeUnknown,
    ViaStateError,
)
from via_state.logs import about
from via_state.pod.reading.batches import TURN
from via_state.pod.writing.answers import fail, tell
from via_state.pod.writing.folding import Appended, Folding
from via_state.pod.writing.groups import Entry, Group, Lane, Waiter
from via_state.runtime.backoff import Backoff
from via_state.runtime.loop import LoopThread
from via_state.runtime.patience import send_by

logger = logging.getLogger("via_state.pod")

#: Seconds after which a train keeps no other one waiting: one of a single key, which may wait for that, and any other one.
PATIENCE_ALONE, PATIENCE = 0.05, 1.0
#: Times that a key is left out by a train and comes along with the next one, before it waits for its log alone.
LEFT_OUT = 3
#: Keys, and bytes, of a train.
MOST_KEYS, MOST_BYTES = 500, 4 * 1024 * 1024


class _Place:
    """One of the few trains under way, until it has ended or is late."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self.held = True
        self._leave = leave

    def leave(self) -> None:
        """Others may begin. Twice is harmless."""
        if self.held:
            self.held = False
            self._leave()


class Appender:
    """All appends of one pod. At most one is in flight per key, which keeps a caller's appends in their order."""

    def __init__(self, thread: LoopThread, backplane: Backplane, appended: Appended) -> None:
        self._thread = thread
        self._backplane = backplane
        self._folding = Folding(thread, appended)
        self._inbox: deque[Entry] = deque()
        self._woken = False
        self._lanes: dict[str, Lane] = {}  # of keys with something to append
        self._ready: deque[Lane] = deque()  # those of them of which nothing is under way
        self._trains = 0
        self._answers: list[tuple[Waiter, Position]] = []  # not told yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._forget = thread.at_end(self._abandon)
        self._level = telemetry.Levels(lambda: (self._waiting(),), telemetry.AppendsWaiting)

    def append(self, key: str, data: bytes, count: int, *, folded: bool) -> Position:
        """The position of the last record, or the error, for a caller without an event loop. ``folded``: see `submit`."""
        waiter: Future[Position] = Future()
        self.submit(key, data, count, waiter, folded=folded)
        return waiter.result()

    async def aappend(self, key: str, data: bytes, count: int, *, folded: bool) -> Position:
        """`append`, awaited."""
        waiter: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.submit(key, data, count, waiter, folded=folded)
        return await waiter

    def submit(
        self,
        key: str,
        data: bytes,
        count: int,
        waiter: Waiter,
        *,
        folded: bool = False,
        append_id: str | None = None,
    ) -> None:
        """Hand over an append, from any thread; ``waiter`` gets the position of its last record, or the error.

        It is tried for ``APPEND_TIMEOUT``. ``folded``: answer only when this pod has folded it, or will not soon.
        """
        self._inbox.append(Entry(key, data, count, waiter, folded, append_id))
        self._thread.refuse_ended()  # after that `_abandon` may have looked into the inbox already
        if not self._woken:
            self._woken = True
            try:
                self._thread.soon(self._take)
            except BaseException:
                self._woken = False  # a Ctrl-C: whoever comes next tries
                raise

    def _take(self) -> None:
        self._woken = False
        timeout = settings.APPEND_TIMEOUT
        while self._inbox:
            entry = self._inbox.popleft()
            entry.deadline = entry.started + timeout
            lane = self._lanes.get(entry.key)
            if lane is None:
                lane = self._lanes[entry.key] = Lane(entry.key)
                self._ready.append(lane)
            lane.waiting.append(entry)
        self._depart()

    def _waiting(self) -> int:
        """Calls that have no answer yet. From any thread."""
        lanes = list(self._lanes.values())
        under_way = [group for one in lanes if (group := one.group) is not None]
        return (
            len(self._inbox) + sum(len(one.waiting) for one in lanes) + sum(len(one.entries) for one in under_way)
        )

    # Trains -----------------------------------------------------------------------------------------------

    def _depart(self) -> None:
        while self._ready and self._trains < self._backplane.trains:
            self._trains += 1
            self._start(self._travel())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._thread.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # the loop is being stopped
            self._give_up(self._lanes.values())
        else:
            self._depart()

    async def _travel(self) -> None:
        """Send one train after the other while lanes are in line."""
        place = _Place(self._left)
        try:
            while place.held and (lanes := self._board()):
                late = self._thread.loop.call_later(PATIENCE if len(lanes) > 1 else PATIENCE_ALONE, place.leave)
                try:
                    await self._send(lanes)
                finally:
                    late.cancel()
        finally:
            place.leave()

    def _left(self) -> None:
        self._trains -= 1
        self._depart()

    def _board(self) -> list[Lane]:
        """The lanes whose groups travel next: those that came first, as many as one train takes."""
        plane, lanes, size = self._backplane, list[Lane](), 0
        while self._ready and len(lanes) < MOST_KEYS:
            group = self._ready[0].board(plane.max_append_records, plane.max_append_bytes, plane.retry_window)
            size += len(group.append.data)
            if lanes and size > MOST_BYTES:
                break
            lanes.append(self._ready.popleft())
        return lanes

    async def _send(self, lanes: list[Lane]) -> None:
        """Send the groups of some lanes. Afterwards each lane is empty, in line again, under way alone, or waits for a while."""
        groups = [lane.group for lane in lanes]
        try:
            found = await self._ask(lanes)
            failing: list[Lane] = []
            until = time.monotonic() + TURN
            for lane in lanes:
                if time.monotonic() >= until:  # what they append may have been folded: others have a turn
                    await asyncio.sleep(0)
                    until = time.monotonic() + TURN
                answer = found.get(lane.key)
                if isinstance(answer, Position):
                    self._tell_soon(self._acknowledged(lane, answer))
                    self._next(lane)
                elif answer is None:
                    self._left_out(lane, among=bool(found))
                elif self._failed(lane, answer):
                    failing.append(lane)
        except BaseException:
            self._give_up(lane for lane, group in zip(lanes, groups, strict=True) if lane.group is group)
            raise
        if failing:
            telemetry.CallFailed().emit()
            self._start(self._later(failing))

    def _left_out(self, lane: Lane, among: bool) -> None:
        """Somebody else writes to this log at the moment: it comes along with the next train, or waits for its turn alone. ``among``:
        others were not left out.
        """
        lane.left_out += 1
        if among and lane.left_out <= LEFT_OUT:
            self._ready.appendleft(lane)
        else:
            self._start(self._send([lane]))

    async def _ask(self, lanes: list[Lane]) -> dict[str, Position | Exception]:
        """The answers by key; without those whose groups are to be sent alone."""
        groups = [lane.group for lane in lanes if lane.group is not None]
        latest = min(group.give_up if group.sent else group.send_by for group in groups)
        appends = [group.append for group in groups]
        try:
            with send_by(latest), tracing.publishing((one.data, one.count) for one in appends):
                if len(appends) == 1:
                    one = appends[0]
                    return {one.key: await self._backplane.append(one.key, one.append_id, one.count, one.data)}
                return {**await self._backplane.append_many(appends)}
        except Exception as error:
            if len(appends) > 1 and isinstance(error, BackplaneRefused):
                return {}  # for the sake of one of them, perhaps
            if len(appends) > 1 and not isinstance(error, ViaStateError):  # a fault of the adapter's
                logger.exception(
                    "Appends to %d keys failed in a way that their backplane should not.", len(appends)
                )
                for group in groups:
                    group.sent = True  # for all that is known: each is asked for with its id
                return {}
            return dict.fromkeys((one.key for one in appends), error)

    async def _later(self, lanes: list[Lane]) -> None:
        """Put lanes in line again after a pause, which grows while they fail."""
        backoff = max(
            (one.backoff for one in lanes if one.backoff), key=lambda one: one.attempts, default=Backoff()
        )
        for lane in lanes:
            lane.backoff = backoff
        await backoff.pause()
        self._ready.extendleft(reversed(lanes))

    def _next(self, lane: Lane) -> None:
        """Nothing of a lane is under way any more."""
        lane.group = lane.backoff = None
        lane.left_out = 0
        if lane.waiting:
            self._ready.append(lane)
        else:
            del self._lanes[lane.key]

    # Answers ----------------------------------------------------------------------------------------------

    def _failed(self, lane: Lane, error: Exception) -> bool:
        """An attempt failed: whether there is to be another one. Otherwise who waits is told."""
        key, group = lane.key, lane.group
        assert group is not None, "its lane was under way"
        failure: Exception = error
        if isinstance(error, OutcomeUnknown) or (
            group.sent and isinstance(error, BackplaneUnavailable | AppendTooLarge)
        ):
            group.sent = True
            if time.monotonic() < group.give_up:
                return True
            failure = AppendOutcomeUnknown(
                f"An append to {key!r} was sent {time.monotonic() - group.started:.1f} s ago and no answer came ({error}). "
                "It may or may not be in the log: look before you append it again."
            )
            failure.__cause__ = error
        elif isinstance(error, AppendTooLarge) and len(group.entries) > 1:
            # The backplane takes less than it did: each for itself, so that only the one that is too large fails.
            for entry in group.entries:
                entry.alone = True
            lane.put_back(group.entries)
            return True
        elif isinstance(error, BackplaneUnavailable) and not isinstance(error, BackplaneRefused):
            lane.put_back(_still_waiting(group, error))
            if not lane.waiting:
                self._next(lane)
            return lane.key in self._lanes
        elif not isinstance(error, ViaStateError):  # a fault of the adapter's: nobody knows how far it came
            logger.error(
                "An append to %r failed in a way that its backplane should not.",
                key,
                exc_info=error,
                extra=about(key=key),
            )
            failure = AppendOutcomeUnknown(
                f"An append to {key!r} failed, and how far it came is not known ({error_line(error)}; the log has the "
                "traceback). It may or may not be in the log: look before you append it again."
            )
            failure.__cause__ = error
        fail(group.waiters, failure)  # waiting would not help
        self._next(lane)
        return False

    def _acknowledged(self, lane: Lane, last: Position) -> list[tuple[Waiter, Position]]:
        """Every caller with its own last position; those who wait for the pod to fold it are told when it has."""
        group = lane.group
        assert group is not None, "its lane was under way"
        entries, now = group.entries, time.monotonic()
        answers = [(entries[0], last)] if len(entries) == 1 else _answers(group, last)
        telemetry.appended(lane.key, group.append.count, [now - entry.started for entry in entries])
        fold = self._folding.of(lane.key, last, group.pack(last))
        if fold is None:
            return [(entry.waiter, position) for entry, position in answers]
        self._folding.after(fold, [(entry.waiter, position) for entry, position in answers if entry.folded])
        return [(entry.waiter, position) for entry, position in answers if not entry.folded]

    def _tell_soon(self, answers: list[tuple[Waiter, Position]]) -> None:
        """Tell these in the loop's next turn, when what travels next has been sent: callers on another thread keep the interpreter for
        milliseconds as soon as they are told, and meanwhile the backplane would have nothing to do.
        """
        if answers and not self._answers:
            self._thread.loop.call_soon(self._tell)
        self._answers += answers

    def _tell(self) -> None:
        answers, self._answers = self._answers, []
        tell(answers)

    # The end ----------------------------------------------------------------------------------------------

    def _give_up(self, lanes: Iterable[Lane]) -> None:
        """Nothing comes of these any more."""
        for lane in list(lanes):
            group, lane.group = lane.group, None
            if self._lanes.get(lane.key) is lane:
                del self._lanes[lane.key]
            if lane in self._ready:
                self._ready.remove(lane)
            unknown = AppendOutcomeUnknown(
                f"This process stopped during an append to {lane.key!r}. Look before you repeat it."
            )
            fail([] if group is None else group.waiters, unknown)
            waiting = [entry.waiter for entry in lane.waiting]
            fail(waiting, Closed("This process stopped. Nothing was appended."))
            lane.waiting.clear()

    def _abandon(self, error: LoopEnded) -> None:
        """The loop has ended: nothing answers those who wait."""
        self._tell()
        self._give_up(self._lanes.values())
        fail([entry.waiter for entry in self._inbox], error)
        self._level.end()

    async def close(self) -> None:
        """Let what is in flight finish; what waits after it fails with the backplane's `Closed`."""
        self._forget()
        self._folding.forget()
        until = time.monotonic() + 2.0
        while self._tasks and (left := until - time.monotonic()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
        self._level.end()


def _answers(group: Group, last: Position) -> list[tuple[Entry, Position]]:
    """Each call with its own last position."""
    found: list[tuple[Entry, Position]] = []
    epoch, append_id = last.epoch, last.record_id.rpartition("-")[0]
    offset, index = last.offset - group.append.count, -1
    for entry in group.entries:
        offset, index = offset + entry.count, index + entry.count
        found.append((entry, Position(epoch, offset, f"{append_id}-{index}")))
    return found


def _still_waiting(group: Group, error: BackplaneUnavailable) -> Sequence[Entry]:
    """Nothing was sent. Entries whose time is up learn so; the others try again."""
    now = time.monotonic()
    fail([entry.waiter for entry in group.entries if entry.deadline <= now], error)
    return [entry for entry in group.entries if entry.deadline > now and not entry.waiter.cancelled()]
