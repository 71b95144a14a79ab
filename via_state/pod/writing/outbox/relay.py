"""Moves the records of one lane to their logs."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
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
from via_state.core.records import GENESIS, Append, Position
from via_state.core.text import error_line
from via_state.exceptions import (
    AppendOutcomeUnknown,
    AppendTooLarge,
    BackplaneRefused,
    Closed,
    InvalidKey,
    OutcomeUnknown,
    ViaStateError,
)
from via_state.logs import about
from via_state.pod.session_logs import outlived as is_outlived
from via_state.pod.writing.outbox.proof import was_appended
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.outbox")
P = ParamSpec("P")
T = TypeVar("T")

#: Rows that are looked at together; records and bytes of one append, where the backplane takes more.
PAGE, RECORDS, BYTES = 2000, 1000, 4 * 1024 * 1024
#: Keys of a lane whose appends travel together; that are resumed at once; that fail until the others wait as well.
TOGETHER, KEYS, FAILING = 100, 4, 20
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
        self._lost = False
        self._alone: set[str] = set()  # keys whose rows are not joined
        #: What keeps keys from being relayed now.
        self.failures: dict[str, Exception] = {}

    @property
    def _ends(self) -> bool:
        return self._lost or len(self.failures) >= FAILING

    async def all(self) -> None:
        """Relay everything in the lane, as far as the lease and the keys permit."""
        more = True
        while more and not self._ends:
            page = await self._relay.ask(rows.page, self._lane, [hash_key(key) for key in self.failures], PAGE)
            most = min(self._backplane.max_append_records, RECORDS), min(self._backplane.max_append_bytes, BYTES)
            new, begun = dict[str, list[Batch]](), dict[str, list[Batch]]()
            for key, of_key in batches(page, *most, frozenset(self._alone)).items():
                (begun if any(one.batch for one in of_key) else new)[key] = of_key
            ended = await asyncio.gather(self._trains(new), *(self._key(*one) for one in begun.items()))
            more = len(page) == PAGE or not all(ended)

    async def _trains(self, new: dict[str, list[Batch]]) -> bool:
        """Relay appends that nobody began, those of many keys together and those of one key in order. False when rows must be looked at
        once more.
        """
        all_ended = True
        while new and not self._ends:
            ended = set[str]()
            for train in _together({key: of_key[0] for key, of_key in new.items()}):
                if not self._ends:
                    ended |= await self._begin(train)
            all_ended = all_ended and all(key in ended or key in self.failures for key in new)
            new = {key: of_key[1:] for key, of_key in new.items() if key in ended and of_key[1:]}
        return all_ended

    async def _key(self, key: str, found: list[Batch]) -> bool:
        """Relay appends of one key, in order, of which some were begun. False when the rows must be looked at once more."""
        async with self._keys:
            for one in found:
                if self._lost:
                    return True
                ended = await (self._begin({key: one}) if one.batch is None else self._resume(key, one))
                if key in self.failures:
                    return True
                if key not in ended:
                    return False
            return True

    async def _begin(self, new: Mapping[str, Batch]) -> set[str]:
        """Append rows that nobody began to append. The keys of which that is done."""
        try:
            heads = await self._heads(list(new))
            claims = [rows.Claim(uuid.uuid4(), one.ids, heads[key]) for key, one in new.items() if key in heads]
            if self._lost or not claims:
                return set()
            started = time.monotonic()
            held, found = await self._relay.ask(self._claim, claims)
            return await self._append(found, started) if held else self._lose()
        except Closed:
            raise
        except Exception as error:
            return self._fail(new, error)

    def _claim(self, claims: Sequence[rows.Claim]) -> tuple[bool, list[Claimed]]:
        """On a thread: claim rows, read them, renew the lease. Whether that is held, and the appends."""
        rows.claim(claims)
        found = rows.claimed([(one.batch, one.ids) for one in claims])
        return lanes.renew(self._lane, self._lease), found

    async def _heads(self, keys: Sequence[str]) -> dict[str, Position]:
        """Where the heads of logs are; without those that fail."""
        if len(keys) > 1:
            try:
                there = await self._backplane.heads(keys)
                return {key: there[key].position if key in there else GENESIS for key in keys}
            except BackplaneRefused:
                pass  # for the sake of one of them, perhaps
        return {key: head.position for key, head in (await self._of_each(keys, self._backplane.head)).items()}

    async def _of_each(self, keys: Iterable[str], look: Callable[[str], Awaitable[T]]) -> dict[str, T]:
        """What is found of each key; without those that fail."""
        found = dict[str, T]()
        for key in keys:
            try:
                found[key] = await look(key)
            except Closed:
                raise
            except Exception as error:
                self._fail([key], error)
        return found

    async def _resume(self, key: str, begun: Batch) -> set[str]:
        """Finish what another pod began, or this one before an error."""
        assert isinstance(begun.batch, UUID)
        try:
            found = await self._relay.ask(rows.claimed, [(begun.batch, begun.ids)])
            if not found:
                # A claim that came too late: somebody relayed some of these rows since.
                await self._relay.ask(rows.unclaim, begun.batch, begun.ids[0])
                return set()
            (one,) = found
            there = await was_appended(self._backplane, key, one.batch.hex, one.after)
            if there:
                await self._relay.ask(rows.remove, found)
                return {key}
            if there is None:
                error = AppendOutcomeUnknown(
                    "It may be in the log already: an earlier attempt had no answer, and the records that followed it there were "
                    "discarded since. Look before you replay it."
                )
                await self._put_aside(one, error)
                return {key}
            started = time.monotonic()
            held = await self._relay.ask(lanes.renew, self._lane, self._lease)
            return await self._append(found, started) if held else self._lose()
        except Closed:
            raise
        except Exception as error:
            return self._fail([key], error)

    async def _append(self, found: Sequence[Claimed], renewed: float) -> set[str]:
        """Append right after the lease was renewed, which began at ``renewed``, and remove the rows. The keys of which that is done; one of
        which nothing is known stays claimed, and is resumed by itself.
        """
        until = renewed + settings.OUTBOX_LEASE / 2
        outlived = await self._of_each([one.key for one in found], partial(is_outlived, self._backplane))
        gone = [one for one in found if outlived.get(one.key)]
        live = [one for one in found if outlived.get(one.key) is False]
        answers = await self._ask(live, until - time.monotonic()) if live else {}
        stored = [one for one in live if isinstance(answers.get(one.key), Position)]
        if gone or stored:
            await self._relay.ask(rows.remove, [*gone, *stored])
        ended = {one.key for one in (*gone, *stored)}
        for one in live:
            answer = answers.get(one.key)
            if isinstance(answer, Position):
                self._relay.appended(one.key, answer, one.records)
            elif isinstance(answer, FOR_GOOD) and len(one.ids) == 1:
                await self._put_aside(one, answer)
                ended.add(one.key)
            elif isinstance(answer, FOR_GOOD):
                self._alone.add(one.key)
                await self._relay.ask(rows.unclaim, one.batch, one.ids[0])
            elif answer is not None:
                self._fail([one.key], answer)
        return ended

    async def _ask(self, claims: Sequence[Claimed], left: float) -> Mapping[str, Position | Exception]:
        """The answers to appends by key, within ``left`` seconds; without those that are to be sent alone."""
        if left <= 0:  # this process was frozen meanwhile
            return {}
        appends = [
            Append(
                one.key, one.batch.hex, one.records, one.data[0] if len(one.data) == 1 else join_packs(one.data)
            )
            for one in claims
        ]
        try:
            async with asyncio.timeout(left):
                with tracing.publishing((one.data, one.count) for one in appends):
                    if len(appends) > 1:
                        return await self._backplane.append_many(appends)
                    (one,) = appends
                    return {one.key: await self._backplane.append(one.key, one.append_id, one.count, one.data)}
        except Closed:
            raise
        except TimeoutError as error:
            unknown = OutcomeUnknown("The backplane did not answer an append in time.")
            unknown.__cause__ = error
            return dict.fromkeys((one.key for one in appends), unknown)
        except Exception as error:
            if len(appends) > 1 and (isinstance(error, BackplaneRefused) or not isinstance(error, ViaStateError)):
                return {}  # for the sake of one of them, perhaps
            return dict.fromkeys((one.key for one in appends), error)

    async def _put_aside(self, one: Claimed, error: Exception) -> None:
        text = error_line(error)
        await self._relay.ask(rows.put_aside, one, text)
        logger.error(
            "An append to %r can't be relayed and was set aside; manage.py replay_outbox tries it again: %s",
            one.key,
            error,
            extra=about(key=one.key, reason="set aside"),
        )

    def _fail(self, keys: Iterable[str], error: Exception) -> set[str]:
        """These can't be relayed now."""
        self.failures |= dict.fromkeys(keys, error)
        return set()

    def _lose(self) -> set[str]:
        self._lost = True
        return set()


def _together(new: Mapping[str, Batch]) -> Iterator[dict[str, Batch]]:
    """The appends of different keys, as many together as one call takes."""
    train, size = dict[str, Batch](), 0
    for key, one in new.items():
        if train and (len(train) == TOGETHER or size + one.size > BYTES):
            yield train
            train, size = {}, 0
        train[key], size = one, size + one.size
    if train:
        yield train


async def ask(threads: WorkerThreads, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a statement of the outbox on a thread. Raises `BackplaneUnavailable` for a database that does not answer."""
    return await threads_ask("outbox", threads, function, *args, **kwargs)
