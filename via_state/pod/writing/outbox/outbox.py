"""The outbox of one pod: it keeps appends with their transactions, and relays its own and those that others left."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from django.db import connections, transaction

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import outbox as rows
from via_state.bookkeeping.database.commits import after_commit
from via_state.bookkeeping.database.outbox_lanes import LANES
from via_state.conf import settings
from via_state.exceptions import NotInTransaction
from via_state.pod.session_logs import outlived
from via_state.pod.writing.appender import Appender
from via_state.pod.writing.immediate import ImmediateAppends
from via_state.pod.writing.outbox.relay import Appended, LaneRelay, ask
from via_state.runtime.backoff import Backoff
from via_state.runtime.loop import LoopThread
from via_state.runtime.outage import Outage, OutagePart
from via_state.runtime.rng import rng
from via_state.runtime.single_flight import Hold, Rest, SingleFlight
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.outbox")

#: Threads for the statements, and the seconds without work after which each closes its connection.
THREADS, IDLE = 2, 0.25
#: Seconds after the start of a pod in which it looks for the first time: at most, and drawn by lot.
FIRST_LOOK = 1.0
#: Seconds that a pod takes for its own records when it ends.
LAST_RELAY = 2.0
#: Seconds between two looks whether another pod is done with a lane: at first, and at most.
TAKEN, TAKEN_CAP = 0.01, 2.0


class Outbox:
    """What a pod does with appends that belong to a transaction. All on the loop, but `start`, `look_soon` and `add`."""

    def __init__(self, thread: LoopThread, backplane: Backplane) -> None:
        self._thread, self._backplane = thread, backplane

    def add(self, key: str, data: bytes, count: int) -> None:
        """Append with the caller's transaction on ``DATABASE``; at once where there is none.

        Raises `NotInTransaction`, and what can be said now against the append: `AppendTooLarge`, `InvalidKey`.
        """
        _check_transaction()
        self._backplane.check_append(key, count, data)
        hook = self._hook(key, data, count)
        if connections[settings.DATABASE].in_atomic_block:
            # An error after a commit is not the caller's, and must not keep the caller's own hooks from running.
            hook = partial(after_commit, hook, "append_on_commit", f"an append to {key!r}")
        transaction.on_commit(hook, using=settings.DATABASE)

    def _hook(self, key: str, data: bytes, count: int) -> Callable[[], object]:
        """What is done after the commit."""
        raise NotImplementedError

    def start(self) -> None:
        """Look at once, and every ``OUTBOX_INTERVAL``, for records that nobody relays."""

    def look_soon(self) -> None:
        """Look now: somebody put records back."""

    async def backlog(self) -> rows.Backlog:
        """What is in the outbox."""
        return rows.Backlog({}, 0, 0)

    async def settle(self) -> None:
        """Relay everything that was committed. Raises what keeps some of it from being relayed."""

    async def close(self) -> None:
        """Relay what this process wrote, as far as there is time."""


class ImmediateOutbox(Outbox):
    """Where nothing outlives this process, neither need a promise: the commit itself makes the append."""

    def __init__(self, thread: LoopThread, backplane: Backplane, appends: Appender | ImmediateAppends) -> None:
        super().__init__(thread, backplane)
        self._appends = appends

    def _hook(self, key: str, data: bytes, count: int) -> Callable[[], object]:
        def hook() -> None:
            if not self._thread.call(outlived(self._backplane, key)):
                self._appends.append(key, data, count, folded=True)

        return hook


class RelayedOutbox(Outbox):
    """Rows that are written with the transaction, and relayed after it; ``start`` it once."""

    def __init__(self, thread: LoopThread, backplane: Backplane, pod_id: str, appended: Appended) -> None:
        super().__init__(thread, backplane)
        self._threads = WorkerThreads(THREADS, "via-state-outbox", connections.close_all, idle=IDLE)
        look, *lanes = Outage(logger, "The outbox").parts(1 + LANES)
        self._lanes = [
            _Lane(LaneRelay(lane, pod_id, backplane, self._threads, appended), outage)
            for lane, outage in enumerate(lanes)
        ]
        self._look = SingleFlight("Looking for records in the outbox", self._sweep, cap=5.0, outage=look)
        #: Lanes with rows of this process whose commit was not heard of.
        self._written: set[int] = set()

    # From any thread --------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.soon(self._start)

    def look_soon(self) -> None:
        self._thread.soon(self._look.wake)

    def _hook(self, key: str, data: bytes, count: int) -> Callable[[], object]:
        self._threads.start()  # a process that ends can't
        lane = rows.add(key, count, data)
        self._written.add(lane)
        return lambda: self._thread.soon(self._ring, lane)

    # On the loop ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        delay = min(FIRST_LOOK, settings.OUTBOX_INTERVAL) * rng.random()
        self._thread.loop.call_later(delay, self._look.ring)

    def _ring(self, lane: int) -> None:
        self._written.discard(lane)
        self._lanes[lane].flight.ring()

    async def _sweep(self) -> Rest:
        found = await self.backlog()
        telemetry.OutboxCounted(found.waiting, found.oldest, found.aside).emit()
        for lane in found.lanes:
            self._ring(lane)
        return float(settings.OUTBOX_INTERVAL) * rng.uniform(0.8, 1.0)

    async def backlog(self) -> rows.Backlog:
        return await ask(self._threads, rows.backlog)

    async def settle(self) -> None:
        while waiting := await ask(self._threads, rows.waiting_lanes):
            for lane in waiting:
                backoff = Backoff(TAKEN, TAKEN_CAP)
                while not await self._lanes[lane].relay.run():
                    await backoff.pause()

    async def close(self) -> None:
        """Relay what this process wrote, for `LAST_RELAY` seconds at most; what is left stays in the table."""
        self._look.stop()
        for lane in tuple(self._written):
            self._ring(lane)
        deadline = time.monotonic() + LAST_RELAY
        while any(one.moving for one in self._lanes) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        running = [one.flight.task for one in self._lanes if one.flight.task is not None]
        for one in self._lanes:
            one.flight.stop()
        if running:
            await asyncio.wait(running, timeout=1.0)  # for the leases that they give back
        await self._threads.close()


class _Lane:
    """A lane as one pod relays it: when it is rung, and again while it is another's."""

    def __init__(self, relay: LaneRelay, outage: OutagePart) -> None:
        self.relay = relay
        name = f"The relay of lane {relay.lane} of the outbox"
        self.flight = SingleFlight(name, self._run, cap=5.0, outage=outage)
        self._taken = Backoff(TAKEN, TAKEN_CAP)

    @property
    def moving(self) -> bool:
        """Whether there may be something to relay, and nothing keeps it from that."""
        return not self.flight.idle and self.flight.failing is None

    async def _run(self) -> Rest:
        if await self.relay.run():
            self._taken = Backoff(TAKEN, TAKEN_CAP)
            return None
        return Hold(self._taken.next())


def _check_transaction() -> None:
    """Raise `NotInTransaction` where the transaction that is open is another database's."""
    if _in_transaction(settings.DATABASE):
        return
    for connection in connections.all(initialized_only=True):
        if _in_transaction(connection.alias):
            raise NotInTransaction(
                f"The transaction that is open is one of the database {connection.alias!r}, and append_on_commit goes with "
                f"transactions of {settings.DATABASE!r}, so a rollback would not take the event back. Open "
                f"transaction.atomic(using={settings.DATABASE!r}) around it, set VIA_STATE['DATABASE'] to {connection.alias!r}, or call "
                "append() to append at once."
            )


def _in_transaction(alias: str) -> bool:
    """Whether somebody other than a TestCase of Django opened a transaction of this thread."""
    connection = connections[alias]
    if connection.in_atomic_block:
        return not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
    by_hand = connection.settings_dict["AUTOCOMMIT"] and not connection.autocommit
    return connection.connection is not None and by_hand
