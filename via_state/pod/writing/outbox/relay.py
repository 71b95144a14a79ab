"""Moves the records of one lane to their logs."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from via_state import telemetry, tracing
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import outbox as rows
from via_state.bookkeeping.database import outbox_lanes as lanes
from via_state.bookkeeping.database.outbox import Claimed
from via_state.bookkeeping.database.retention import hash_key
from via_state.bookkeeping.database.threads import ask as threads_ask
from via_state.conf import settings
from via_state.core.batching import Batch, batches
from via_state.core.events import join_packs
from via_state.core.records import Position
from via_state.core.text import error_line
from via_state.exceptions import (
    AppendOutcomeUnknown,
    AppendTooLarge,
    Closed,
    InvalidKey,
    OutcomeUnknown,
)
from via_state.logs import about
from via_state.pod.session_logs import outlived
from via_state.pod.writing.outbox.proof import was_appended
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.outbox")
P = ParamSpec("P")
T = TypeVar("T")

#: Rows that are looked at together; records and bytes of one append, where the backplane takes more.
PAGE, RECORDS, BYTES = 2000, 1000, 4 * 1024 * 1024
#: Keys of a lane that are relayed at once; failing keys after which the others wait as well.
KEYS, FAILING = 4, 20
#: What no later attempt changes.
FOR_GOOD = (AppendTooLarge, InvalidKey)

#: Called on the loop with a key, and the position of the last record that was appended to its log.
Appended = Callable[[str, Position], object]


class LaneRelay:
    """The part of a pod that relays one lane. All on the loop, but for the statements."""

    def __init__(
        self, lane: int, owner: str, backplane: Backplane, threads: WorkerThreads, appended: Appended
    ) -> None:
        self.lane = lane
        self._owner, self._backplane, self._threads, self._appended = owner, backplane, threads, appended
        self._leases = 0
        self._unreleased = ""  # a lease that could not be given back

    async def run(self) -> bool:
        """Relay what waits. False when that is another pod's turn.

        Raises the first error of those that keep keys from being relayed now, when all others are done.
        """
        self._leases += 1
        lease = f"{self._owner}-{self._leases}"
        if not await self.ask(lanes.acquire, self.lane, lease, self._unreleased):
            return not await self.ask(rows.waits, self.lane)
        work = _Work(self, lease)
        try:
            await work.all()
        finally:
            await self._release(lease)
        for error in work.failures.values():
            raise error
        return True

    async def _release(self, lease: str) -> None:
        try:
            await self.ask(lanes.release, self.lane, lease)
        except BaseException:
            self._unreleased = lease
            raise

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a statement on a thread. Raises `BackplaneUnavailable` for a database that does not answer."""
        return await ask(self._threads, function, *args, **kwargs)

    @property
    def backplane(self) -> Backplane:
        return self._backplane

    def appended(self, key: str, position: Position, count: int) -> None:
        """So many records of a key are in its log."""
        telemetry.Relayed(key, count).emit()
        self._appended(key, position)


class _Work:
    """What is done under one lease."""

    def __init__(self, relay: LaneRelay, lease: str) -> None:
        self._relay, self._lane, self._lease = relay, relay.lane, lease
        self._backplane = relay.backplane
        self._keys = asyncio.Semaphore(KEYS)
        self._until = 0.0  # when an append must have ended, by this process's clock
        self._lost = False
        self._alone: set[str] = set()  # keys whose rows are not joined
        #: What keeps keys from being relayed now.
        self.failures: dict[str, Exception] = {}

    async def all(self) -> None:
        """Relay everything in the lane, as far as the lease and the keys permit."""
        more = True
        while more and not self._lost and len(self.failures) < FAILING:
            page = await self._relay.ask(rows.page, self._lane, [hash_key(key) for key in self.failures], PAGE)
            most = min(self._backplane.max_append_records, RECORDS), min(self._backplane.max_append_bytes, BYTES)
            found = batches(page, *most, frozenset(self._alone))
            ended = await asyncio.gather(*(self._key(key, of_key) for key, of_key in found.items()))
            more = len(page) == PAGE or not all(ended)

    async def _key(self, key: str, found: list[Batch]) -> bool:
        """Relay appends of one key, in order. False when the rows must be looked at once more."""
        async with self._keys:
            for one in found:
                if self._lost:
                    return True
                try:
                    moved = await (self._begin(key, one) if one.batch is None else self._resume(one))
                except Closed:
                    raise
                except Exception as error:
                    self.failures[key] = error
                    return True
                if not moved:
                    return False
            return True

    async def _begin(self, key: str, new: Batch) -> bool:
        """Append rows that nobody began to append."""
        after = (await self._backplane.head(key)).position
        started = time.monotonic()
        held, one = await self._relay.ask(self._claim, new, uuid.uuid4(), after)
        if not held:
            return self._lose()
        self._renewed(started)
        return one is not None and await self._append(one)

    def _claim(self, new: Batch, batch: UUID, after: Position) -> tuple[bool, Claimed | None]:
        """On a thread: claim the rows, read them, renew the lease. Whether that is held, and the append."""
        one = rows.claimed(batch, new.ids) if rows.claim(new.ids, batch, after) else None
        return lanes.renew(self._lane, self._lease), one

    async def _resume(self, begun: Batch) -> bool:
        """Finish what another pod began, or this one before an error."""
        assert isinstance(begun.batch, UUID)
        one = await self._relay.ask(rows.claimed, begun.batch, begun.ids)
        if one is None:
            # A claim that came too late: somebody relayed some of these rows since.
            await self._relay.ask(rows.unclaim, begun.batch, begun.ids[0])
            return False
        there = await was_appended(self._backplane, one.key, one.batch.hex, one.after)
        if there:
            await self._relay.ask(rows.remove, one)
            return True
        if there is None:
            error = AppendOutcomeUnknown(
                "It may be in the log already: an earlier attempt had no answer, and the records that followed it there were "
                "discarded since. Look before you replay it."
            )
            await self._put_aside(one, error)
            return True
        started = time.monotonic()
        if not await self._relay.ask(lanes.renew, self._lane, self._lease):
            return self._lose()
        self._renewed(started)
        return await self._append(one)

    async def _append(self, one: Claimed) -> bool:
        """Append right after the lease was renewed, and remove the rows. Raises what may succeed later."""
        if await outlived(self._backplane, one.key):
            await self._relay.ask(rows.remove, one)
            return True
        data = one.data[0] if len(one.data) == 1 else join_packs(one.data)
        left = self._until - time.monotonic()
        if left <= 0:  # this process was frozen meanwhile
            return False
        try:
            async with asyncio.timeout(left):
                with tracing.publishing([(data, one.records)]):
                    position = await self._backplane.append(one.key, one.batch.hex, one.records, data)
        except TimeoutError as error:
            raise OutcomeUnknown(f"The backplane did not answer an append to {one.key!r} in time.") from error
        except FOR_GOOD as error:
            if len(one.ids) == 1:
                await self._put_aside(one, error)
                return True
            self._alone.add(one.key)
            await self._relay.ask(rows.unclaim, one.batch, one.ids[0])
            return False
        await self._relay.ask(rows.remove, one)
        self._relay.appended(one.key, position, one.records)
        return True

    async def _put_aside(self, one: Claimed, error: Exception) -> None:
        text = error_line(error)
        await self._relay.ask(rows.put_aside, one, text)
        logger.error(
            "An append to %r can't be relayed and was set aside; manage.py replay_outbox tries it again: %s",
            one.key,
            error,
            extra=about(key=one.key, reason="set aside"),
        )

    def _renewed(self, started: float) -> None:
        self._until = started + settings.OUTBOX_LEASE / 2

    def _lose(self) -> bool:
        self._lost = True
        return True


async def ask(threads: WorkerThreads, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a statement of the outbox on a thread. Raises `BackplaneUnavailable` for a database that does not answer."""
    return await threads_ask("outbox", threads, function, *args, **kwargs)
