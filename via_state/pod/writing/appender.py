"""Group commit: the appends of one key that arrive while another is in flight travel together as one pack."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.core.events import join_packs
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
from via_state.runtime.backoff import Backoff
from via_state.runtime.kept_errors import again
from via_state.runtime.loop import LoopThread
from via_state.runtime.patience import send_by

logger = logging.getLogger("via_state.pod")

#: Called on the loop after an append: key, last position; answers an awaitable when this pod will fold it.
Appended = Callable[[str, Position], "asyncio.Future[None] | None"]
Waiter = asyncio.Future[Position] | Future[Position]


class Entry:
    """One call's append. ``append_id`` is set where the caller chose it. ``alone``: it shares a group with no other one."""

    __slots__ = ("alone", "append_id", "count", "data", "deadline", "folded", "key", "started", "waiter")

    def __init__(
        self,
        key: str,
        data: bytes,
        count: int,
        waiter: Waiter,
        timeout: float,
        folded: bool,
        append_id: str | None,
    ) -> None:
        self.key, self.data, self.count, self.waiter, self.folded = key, data, count, waiter, folded
        self.append_id = append_id
        self.alone = append_id is not None
        self.started = time.monotonic()
        self.deadline = self.started + timeout


class Appender:
    """All appends of one pod. At most one is in flight per key, which keeps a caller's appends in their order."""

    def __init__(self, thread: LoopThread, backplane: Backplane, appended: Appended) -> None:
        self._thread = thread
        self._backplane = backplane
        self._appended = appended
        self._inbox: deque[Entry] = deque()
        self._woken = False
        self._lanes: dict[str, deque[Entry]] = {}
        self._in_flight: dict[str, list[Entry]] = {}
        self._folding: dict[asyncio.Future[None], list[tuple[Waiter, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._forget = thread.at_end(self._abandon)

    def submit(
        self,
        key: str,
        data: bytes,
        count: int,
        waiter: Waiter,
        *,
        timeout: float,
        folded: bool = False,
        append_id: str | None = None,
    ) -> None:
        """Hand over an append, from any thread; ``waiter`` gets the position of its last record, or the error.

        ``timeout``: seconds to keep trying. ``folded``: answer only when this pod has folded it, or will not soon.
        """
        self._inbox.append(Entry(key, data, count, waiter, timeout, folded, append_id))
        self._thread.refuse_ended()  # after that `_abandon` may have looked into the inbox already
        if not self._woken:
            self._woken = True
            self._thread.soon(self._take)

    def _take(self) -> None:
        self._woken = False
        while self._inbox:
            entry = self._inbox.popleft()
            lane = self._lanes.get(entry.key)
            if lane is None:
                lane = self._lanes[entry.key] = deque()
                task = self._thread.loop.create_task(self._run(entry.key, lane))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            lane.append(entry)

    async def _run(self, key: str, lane: deque[Entry]) -> None:
        backoff = Backoff()
        group: list[Entry] = []
        try:
            while lane:
                group = self._in_flight[key] = self._group(lane)
                try:
                    last = await self._append(key, group)
                except BackplaneRefused as error:  # waiting would not help
                    _settle([(entry.waiter, error) for entry in group])
                except AppendTooLarge as error:
                    if len(group) == 1:
                        _settle([(group[0].waiter, error)])
                        continue
                    # The backplane takes less than it did: each for itself, so that only the one that is too large fails.
                    for entry in group:
                        entry.alone = True
                    lane.extendleft(reversed(group))
                except BackplaneUnavailable as error:
                    telemetry.CallFailed().emit()
                    lane.extendleft(reversed(self._still_waiting(group, error)))
                    await backoff.pause()
                except ViaStateError as error:
                    _settle([(entry.waiter, error) for entry in group])
                except Exception as error:  # a fault of the adapter's: nobody knows how far it came
                    logger.exception(
                        "An append to %r failed in a way that its backplane should not.", key, extra=about(key=key)
                    )
                    unknown = AppendOutcomeUnknown(
                        f"An append to {key!r} failed, and how far it came is not known ({error_line(error)}; the log has the "
                        "traceback). It may or may not be in the log: look before you append it again."
                    )
                    unknown.__cause__ = error
                    _settle([(entry.waiter, unknown) for entry in group])
                else:
                    backoff = Backoff()
                    self._acknowledge(key, group, last)
        except BaseException:
            self._give_up(key, group, lane)
            raise
        finally:
            del self._lanes[key]
            self._in_flight.pop(key, None)

    @staticmethod
    def _give_up(key: str, group: Iterable[Entry], lane: Iterable[Entry]) -> None:
        unknown = AppendOutcomeUnknown(
            f"This process stopped during an append to {key!r}. Look before you repeat it."
        )
        _settle([(entry.waiter, unknown) for entry in group])
        _settle([(entry.waiter, Closed("This process stopped. Nothing was appended.")) for entry in lane])

    def _abandon(self, error: LoopEnded) -> None:
        """The loop has ended: nothing answers those who wait."""
        for key, lane in list(self._lanes.items()):
            self._give_up(key, self._in_flight.get(key, ()), lane)
        _settle([(entry.waiter, error) for entry in self._inbox])
        for acknowledged in list(self._folding.values()):
            _settle(acknowledged)

    def _group(self, lane: deque[Entry]) -> list[Entry]:
        """The entries that travel next: as many as one append takes, in order."""
        group = [lane.popleft()]
        if group[0].alone:
            return group
        count, size = group[0].count, len(group[0].data)
        while lane and not lane[0].alone:
            count, size = count + lane[0].count, size + len(lane[0].data)
            if count > self._backplane.max_append_records or size > self._backplane.max_append_bytes:
                break
            group.append(lane.popleft())
        return group

    async def _append(self, key: str, group: list[Entry]) -> Position:
        """One append, asked again with the same id while its outcome is unknown."""
        append_id = group[0].append_id or uuid.uuid4().hex
        data = group[0].data if len(group) == 1 else join_packs([entry.data for entry in group])
        count = sum(entry.count for entry in group)
        backoff, asked, sent = Backoff(), time.monotonic(), False
        give_up = min(asked + self._backplane.retry_window, max(entry.deadline for entry in group))
        while True:
            try:
                with send_by(give_up if sent else min(entry.deadline for entry in group)):
                    return await self._backplane.append(key, append_id, count, data)
            except (OutcomeUnknown, BackplaneUnavailable) as error:
                sent = sent or isinstance(error, OutcomeUnknown)
                if not sent:
                    raise
                cause = error
            if time.monotonic() >= give_up:
                raise AppendOutcomeUnknown(
                    f"An append to {key!r} was sent {time.monotonic() - asked:.1f} s ago and no answer came ({cause}). "
                    "It may or may not be in the log: look before you append it again."
                ) from cause
            telemetry.CallFailed().emit()
            await backoff.pause()

    @staticmethod
    def _still_waiting(group: list[Entry], error: BackplaneUnavailable) -> list[Entry]:
        """Nothing was sent. Entries whose time is up learn so; the others try again."""
        now = time.monotonic()
        _settle([(entry.waiter, error) for entry in group if entry.deadline <= now])
        return [entry for entry in group if entry.deadline > now and not entry.waiter.cancelled()]

    def _acknowledge(self, key: str, group: list[Entry], last: Position) -> None:
        """Answer every caller with its own last position, at once or when the pod has folded the group."""
        answers: list[tuple[Entry, Position]] = []
        offset = last.offset - sum(entry.count for entry in group)
        append_id = last.record_id.rpartition("-")[0]
        index = -1
        now = time.monotonic()
        for entry in group:
            offset, index = offset + entry.count, index + entry.count
            answers.append((entry, Position(last.epoch, offset, f"{append_id}-{index}")))
        telemetry.Appended(key, index + 1, [now - entry.started for entry in group]).emit()
        try:
            fold = self._appended(key, last)
        except Exception:  # it is in the log, and that is what the callers are told
            logger.exception("What was appended to %r is not waited for here.", key, extra=about(key=key))
            fold = None
        if fold is None or fold.done():
            _settle([(entry.waiter, position) for entry, position in answers])
            return
        _settle([(entry.waiter, position) for entry, position in answers if not entry.folded])
        later = [(entry.waiter, position) for entry, position in answers if entry.folded]
        if later:
            self._folding.setdefault(fold, []).extend(later)
            fold.add_done_callback(lambda fold: _settle(self._folding.pop(fold, [])))

    async def close(self) -> None:
        """Let what is in flight finish; what waits after it fails with the backplane's `Closed`."""
        self._forget()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=2.0)


def _settle(answers: list[tuple[Waiter, Any]]) -> None:
    """Answer waiters of any thread: one wake-up for each event loop, however many wait on it."""
    if answers and isinstance(error := answers[0][1], BaseException):
        telemetry.AppendFailed(_reason(error), len(answers)).emit()
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiter, Any]]] = {}
    for waiter, answer in answers:
        if isinstance(waiter, asyncio.Future):
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, answer))
        else:
            _answer([(waiter, answer)])
    for loop, batch in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer, batch)


def _reason(error: BaseException) -> str:
    """What an append's error says of its outcome, as telemetry calls it."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    return "refused" if isinstance(error, BackplaneRefused | AppendTooLarge) else "unavailable"


def _answer(batch: list[tuple[Waiter, Any]]) -> None:
    for waiter, answer in batch:
        if waiter.done():
            continue
        if isinstance(answer, BaseException):
            waiter.set_exception(again(answer))
        else:
            waiter.set_result(answer)
