"""A worker: finds the logs whose handlers have something to do, and shares them with the other workers.

Work is found by doorbells and by one `changed` a second, whatever the number of logs. Which worker runs a handler on a key
is a matter of arithmetic (rendezvous hashing over those that are alive); that only one does is the store's claims.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from via_state import telemetry
from via_state.bookkeeping.positions import HandlerId, PositionStore
from via_state.conf import settings
from via_state.core.records import Changes, LogBounds, Position
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.handlers.claims import Claims, Reads
from via_state.handlers.known_keys import HandledLog, KnownKeys
from via_state.handlers.runner import Runner
from via_state.handlers.schedule import Schedule
from via_state.handlers.worker_metrics import WorkerMetrics
from via_state.pod.reading.reconciler import Following, Reconciler
from via_state.runtime.backoff import Backoff
from via_state.runtime.outage import Outage
from via_state.runtime.periodic import Periodic
from via_state.runtime.service import Service
from via_state.runtime.single_flight import SingleFlight
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.handlers")

#: The group of those that leave: they share nothing with anybody.
LEAVING = ""
#: Runners that had nothing to do for so long leave memory, seconds.
IDLE = 60.0


class Worker(Service):
    """Runs handlers until it is stopped. All on the loop, but what runs on its threads.

    Its attributes are many because it joins its parts: lease, claims, reads, schedule, runners and housekeeping, each an object of its own.
    """

    role = "event handlers"

    def __init__(
        self,
        reconciler: Reconciler,
        store: PositionStore,
        logs: Sequence[HandledLog],
        *,
        concurrency: int = 8,
        wanted: Callable[[str], bool] | None = None,
        worker_group: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex
        self._reconciler = reconciler
        self.backplane, self.store = reconciler.backplane, store
        self.measures = WorkerMetrics()
        self.lease = float(settings.HANDLER_LEASE)
        self.stopping = False
        self.logs = [one for one in logs if one.handlers]
        self._specs = {
            HandlerId(one.spec.name, name): spec for one in self.logs for name, spec in one.handlers.items()
        }
        names = "\0".join([worker_group, *sorted(f"{log}\0{name}" for log, name in self._specs)])
        self._group = hashlib.blake2b(names.encode(), digest_size=16).hexdigest()
        self.threads = WorkerThreads(concurrency, "via-state-handler", store.end_of_work)
        self._control = WorkerThreads(1, "via-state-lease", store.end_of_work)
        self._claiming = WorkerThreads(1, "via-state-claim", store.end_of_work)
        self.claims = Claims(store, self.id, self._claiming)
        self.reads = Reads(self.backplane)
        limits = {at: spec.concurrency or concurrency for at, spec in self._specs.items()}
        self.schedule = Schedule(store, self.threads, limits)
        self.alive: list[str] = []
        self._lease_until = 0.0
        self._unsaid = False  # that it leaves
        self._runners: dict[tuple[HandlerId, str], Runner] = {}
        self._returning: set[tuple[HandlerId, str]] = set()
        self._returns = SingleFlight(lambda: "The release of claims", self._give_back)
        self._since: set[str] = set()  # keys on which something was done since the last sweep
        self._keys = KnownKeys(self.logs, wanted)
        self._following: Following | None = None
        self._lease = SingleFlight(
            lambda: "The lease of this worker",
            self._keep_lease,
            outage=Outage(logger, "The table of this worker's lease", "lease"),
        )
        self._level: telemetry.Levels | None = None
        self._housekeeping = Periodic("The housekeeping of this worker", self._keep_house, _interval)
        #: What keeps it from starting, empty when nothing does.
        self.waits_for = ""
        #: Set when every log was looked at once.
        self.scanned = asyncio.Event()

    # Sharing ----------------------------------------------------------------------------------------------

    def may_continue(self) -> bool:
        """Whether a record may be begun: the lease holds, by this process's clock. From any thread."""
        return not self.stopping and self.has_lease()

    def has_lease(self) -> bool:
        """Whether the lease holds, by this process's clock. From any thread."""
        return time.monotonic() < self._lease_until

    def owns(self, handler: HandlerId, key: str) -> bool:
        """Whether it is this worker's turn to run a handler on a key."""
        if len(self.alive) < 2:
            return bool(self.alive)
        return max(self.alive, key=lambda worker: _weight(worker, handler, key)) == self.id

    def done(self, handler: HandlerId, key: str, position: Position) -> None:
        """A runner has come to ``position``, or knows that somebody has."""
        self._keys.of(key).done[handler] = position
        self._since.add(key)

    def dismiss(self, *runners: Runner) -> None:
        """They have nothing to do, or it is another worker's turn: what they hold is given back, soon."""
        for runner in runners:
            at = runner.handler, runner.key
            runner.stop()
            if self._runners.get(at) is runner:
                del self._runners[at]
            self._returning.add(at)
        if self._returning:
            self._returns.ring()

    async def _give_back(self) -> None:
        """Give back what dismissed runners held: others wait for it while this worker's lease is renewed."""
        self._returning.difference_update(self._runners)  # needed again
        if returning := list(self._returning):
            await self._control.run(self.store.release, self.id, returning)
            self._returning.difference_update(returning)

    async def _keep_lease(self) -> float:
        await self._renew()
        return self.lease / 3

    async def _renew(self) -> None:
        started = time.monotonic()
        alive = await self._control.run(self.store.renew, self.id, self._group, self.lease)
        self._lease_until = started + self.lease
        telemetry.LeaseRenewed(time.time() + self._lease_until - time.monotonic()).emit()
        if self.stopping:
            return
        if self.store.forgotten(self.id):
            await self._begin_again()
        if alive != self.alive:
            logger.info("%s workers share the event handlers.", len(alive))
            self.alive = alive
            self._rescan()
            self._hand_over()
        await self._look_at_claims()

    async def _begin_again(self) -> None:
        """The database was emptied, or restored: nothing that was known of its rows holds."""
        logger.warning(
            "The rows of this worker are gone, or a backup was restored: its event handlers register again."
        )
        await self.register()
        self._keys.doubt()
        for runner in list(self._runners.values()):
            runner.doubt()
        self._rescan()

    async def _look_at_claims(self) -> None:
        """An operator, or a replay, may have taken a position from a runner that has nothing to do."""
        resting = [one for one in self._runners.values() if not one.busy and one.claim is not None]
        if resting:
            held = await self._control.run(self.store.held, self.id)
            for one in resting:
                if not one.busy and one.claim is not None and one.claim.id not in held:
                    one.doubt()

    def _rescan(self) -> None:
        if self._following is not None:
            self._following.look_at_everything()

    def _hand_over(self) -> None:
        """Give up what is another worker's now, as far as nothing runs on it; runners that run see for themselves."""
        self.dismiss(
            *(runner for at, runner in self._runners.items() if runner.task is None and not self.owns(*at))
        )

    # Finding work -----------------------------------------------------------------------------------------

    async def register(self) -> None:
        """Make the handlers known, so that their records are kept. Raises `BackplaneUnavailable`; harmless to repeat."""
        new = await self._control.run(self.store.register, self._specs)
        for handler in new:
            (log,) = [one for one in self.logs if one.spec.name == handler.template]
            heads = {key: head async for key, head in self._existing() if log.reads(key)}
            await self._control.run(self.store.started, handler, heads)
        for handler in self._specs:
            telemetry.HandlerRegistered(handler.name, handler.template).emit()

    async def _start(self) -> None:
        """A worker that comes up before its servers waits for them. Raises `BackplaneRefused`: waiting does not help."""
        backoff = Backoff()
        while True:
            try:
                await self.register()
                await self._renew()
                break
            except BackplaneRefused:
                raise
            except BackplaneUnavailable as error:
                self.waits_for = str(error)
                await backoff.pause()
        self.waits_for = ""
        await self._reconciler.start()
        self._level = telemetry.Levels(lambda: (self.threads.size, self.threads.running), telemetry.HandlerThreads)
        self._lease.ring()
        self._following = self._keys.following = self._reconciler.follow(self)
        for one in self.logs:
            if not one.spec.family:
                self._following.watch(one.spec.name)
        await self._housekeeping.start()

    async def _existing(self) -> AsyncIterator[tuple[str, LogBounds]]:
        """Every log of the backplane, with its head."""
        after = ""
        while page := await self.backplane.logs(after):
            for after, head in page.items():
                yield after, head

    def rang(self, key: str) -> None:
        """A doorbell."""
        for handler in self._keys.handlers_of(key):
            if self.owns(handler, key):
                self._runner(handler, key).ring()

    def has(self, key: str, position: Position) -> bool:
        """What is folded here is not delivered yet."""
        return False

    def _runner(self, handler: HandlerId, key: str) -> Runner:
        runner = self._runners.get((handler, key))
        if runner is None:
            log = self._keys.of(key).log
            assert log is not None
            runner = Runner(self, handler, self._specs[handler], log.spec, key)
            self._runners[handler, key] = runner
        return runner

    def _moved(self, key: str, head: LogBounds) -> None:
        for handler in self._keys.handlers_of(key):
            done = self._keys.of(key).done.get(handler)
            if done != head.position and self.owns(handler, key):
                runner = self._runner(handler, key)
                after = head.floor if done is None else done
                runner.seen(max(1, head.position.offset - after.offset) if self.backplane.dense else 1)
                runner.ring()

    def mark(self) -> object:
        """The keys on which something was done since the last sweep."""
        since, self._since = self._since, set()
        return since

    async def moved(self, changes: Changes, mark: object) -> None:
        """The answer of a sweep."""
        if changes.everything:
            await self._scan()
            self.scanned.set()
        else:
            self._see(changes, cast(set[str], mark))

    async def _keep_house(self) -> None:
        await self._look_at_halted()
        self._forget_idle()

    def _see(self, changes: Changes, since: set[str]) -> None:
        for key, head in changes.logs.items():
            self._moved(key, head)
        for key in since - changes.logs.keys():
            # They had records that the backplane may have lost: a doorbell is faster than a sweep.
            for handler in self._keys.handlers_of(key):
                if self.owns(handler, key):
                    self._runner(handler, key).ring()

    async def _scan(self) -> None:
        """Look at every log and every position once."""
        after = ""
        while page := await self.backplane.logs(after):
            after = next(reversed(page))
            heads = {key: head for key, head in page.items() if head.position.offset and self._keys.of(key).log}
            positions = await self._control.run(self.store.positions, self._specs, list(heads))
            for (handler, key), position in positions.items():
                runner = self._runners.get((handler, key))
                if runner is None or not runner.busy:
                    self._keys.of(key).done[handler] = position
            for key, head in heads.items():
                self._moved(key, head)

    async def _look_at_halted(self) -> None:
        if halted := [at for at, runner in self._runners.items() if runner.halted]:
            still = await self._control.run(self.store.halted, halted)
            for at in halted:
                if at not in still and (runner := self._runners.get(at)) is not None:
                    runner.wake()

    def _forget_idle(self) -> None:
        horizon = time.monotonic() - IDLE
        idle = [
            runner
            for runner in self._runners.values()
            if not runner.busy and not runner.halted and (runner.idle_since or horizon) < horizon
        ]
        self.dismiss(*idle)

    # Ending -----------------------------------------------------------------------------------------------

    def waiting(self) -> list[Runner]:
        """Those that have not come to the head of their log."""
        return [one for one in self._runners.values() if one.lag or one.halted or one.stuck]

    def busy(self) -> list[Runner]:
        """Those that deliver, or look for what to deliver. From any thread."""
        return [one for one in list(self._runners.values()) if one.task is not None]

    async def settle(self, timeout: float | None = 30.0) -> None:
        """Wait until nothing more can be delivered now. For tests and for leaving when all is caught up."""
        async with asyncio.timeout(timeout):
            await self.scanned.wait()
            while True:
                self.scanned.clear()
                self._rescan()
                await self.scanned.wait()
                if not self.schedule.busy:
                    return
                await self.schedule.quiet()

    async def _drain(self) -> None:
        """Leave the others what nothing runs on, begin no record, and let those end that are being delivered."""
        self.stopping = True
        self._group = LEAVING
        self.schedule.close()
        self.claims.close()
        await self._housekeeping.stop()
        if self._following is not None:
            await self._following.close()
        try:
            await self._control.run(self.store.renew, self.id, self._group, self.lease)
            # What is announced at this moment is either released here, and not begun, or in flight.
            await self._control.run(self.store.release_idle, self.id)
        except BackplaneUnavailable as error:
            self._unsaid = True
            logger.warning("The worker could not give its keys to others before it ends: %s", error)
        running = [one.task for one in self._runners.values() if one.task is not None]
        if running:
            await asyncio.wait(running)

    async def _stop(self) -> None:
        """Give everything up."""
        await self._drain()
        await self._lease.ended()
        await self._returns.ended()
        for runner in list(self._runners.values()):
            runner.stop()
        try:
            await self._control.run(self.store.leave, self.id)
        except BackplaneUnavailable as error:
            level = logging.DEBUG if self._unsaid else logging.WARNING  # said already
            logger.log(level, "The worker could not say that it leaves; its lease ends by itself: %s", error)
        for threads in (self.threads, self._claiming, self._control):
            await threads.close()
        if self._level is not None:
            self._level.end()


def _interval() -> float:
    return float(settings.RECONCILE_INTERVAL)


def _weight(worker: str, handler: HandlerId, key: str) -> bytes:
    return hashlib.blake2b(f"{worker}\0{handler.template}\0{handler.name}\0{key}".encode(), digest_size=8).digest()
