"""The only thing that folds a key's log on this pod: the shell around `core.projection` that does the reading."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Generic, NamedTuple, TypeVar

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest
from via_state.conf import settings
from via_state.core.projection import Action, Outcome, Projection, Unread
from via_state.core.records import Batch, Position
from via_state.core.snapshot_generations import SaveOutcome
from via_state.core.snapshots import NoRestorePoint, RestorePoint
from via_state.core.specs import LogSpec
from via_state.core.verifier import Verifier
from via_state.exceptions import (
    BackplaneRefused,
    BackplaneUnavailable,
    Closed,
    EpochChanged,
    KeyHalted,
    Stalled,
    ViaStateError,
)
from via_state.pod.halted_keys import trouble_of
from via_state.pod.reading.fold_report import FoldReport
from via_state.pod.reading.subscribers import Subscribers
from via_state.pod.snapshots.restore import find_restore_point
from via_state.pod.snapshots.snapshotter import Snapshotter
from via_state.runtime.backoff import Backoff
from via_state.runtime.database_errors import refused
from via_state.runtime.outage import Outage

V = TypeVar("V")
logger = logging.getLogger("via_state.projector")

READ_LIMIT = 1000  # records in one read: bounds how long a fold holds the loop
REFUSED_RETRY = 60.0  # seconds: a value that can't be stored, or lacks records, is looked at again
HALTED_RETRY = 5.0  # seconds: a halted key looks again whether its cause is gone


class ProjectionStatus(NamedTuple):
    """How a key stands on this pod, at one moment. ``value`` is the fold up to ``position``.

    ``halted`` says why it stands still, or is None. ``diverged`` says why there are no more snapshots: its fold was seen
    not to be pure.
    """

    position: Position
    halted: str | None
    value: Any
    diverged: str | None = None


class _Waiter(NamedTuple):
    epoch: str
    offset: int
    reads: int
    future: asyncio.Future[None]


class Projector(Generic[V]):
    """Folds one key. Idle it is a small object without a task; a ring makes it read to the head."""

    __slots__ = (
        "__weakref__",
        "_again",
        "_backplane",
        "_disproven",
        "_drafted",
        "_folded",
        "_outage",
        "_projection",
        "_reads",
        "_ready",
        "_rebuilding",
        "_report",
        "_seeded",
        "_seek_at",
        "_snapshots",
        "_timer",
        "_unread",
        "_unsought",
        "_verifier",
        "_waiters",
        "diverged",
        "error",
        "key",
        "loaded",
        "snapshot_at",
        "spec",
        "subscribers",
        "task",
        "used",
        "value",
    )

    def __init__(self, key: str, spec: LogSpec[V], backplane: Backplane, snapshots: Snapshotter) -> None:
        self.key = key
        self.spec = spec
        self._backplane = backplane
        self._snapshots = snapshots
        self._verifier: Verifier[V] | None = Verifier() if settings.FOLD_VERIFY else None
        self._projection = Projection(spec, self._verifier)
        self.value: V = self._projection.value
        #: True once the head was reached, or the key halted with a good value: `value` may be handed out.
        self.loaded = False
        #: The last failure to read, until a read succeeds.
        self.error: ViaStateError | None = None
        self.subscribers = Subscribers()
        self.used = time.monotonic()
        self._waiters: list[_Waiter] = []
        self._reads = 0
        self._rebuilding = False
        self._ready: asyncio.Event | None = None
        self.task: asyncio.Task[None] | None = None
        self._again = False
        self._timer: asyncio.TimerHandle | None = None
        self._outage: Outage | None = None  # since it can't be read
        self._report = FoldReport(key, spec)
        #: Monotonic time before which no snapshot is wanted.
        self.snapshot_at = 0.0
        #: Why this fold is not pure, once that was seen.
        self.diverged: str | None = None
        self._folded = 0  # since the last snapshot
        self._drafted = 0  # of these, in the snapshot that is being made
        self._unsought = True  # nobody has looked yet for a snapshot to begin with
        self._unread: Unread | None = None  # the record for which a snapshot that covers it was sought last
        self._seek_at = 0.0  # monotonic time at which it is sought again
        self._seeded: Position | None = None
        self._disproven: frozenset[Position] = frozenset()

    @property
    def position(self) -> Position:
        return self._projection.position

    @property
    def at(self) -> object:
        """Where it stands: another one whenever it has moved; None while it has nothing."""
        return self.position if self.position.offset else None

    @property
    def status(self) -> ProjectionStatus:
        halt = self._projection.halt
        halted = None if halt is None else str(halt)
        return ProjectionStatus(self.position, halted, self._projection.value, self.diverged)

    def halt_report(self) -> HaltReport | None:
        """What an operator should look at."""
        halt = self._projection.halt
        if halt is not None:
            return HaltReport(halt.reason.value, str(halt), self.position.offset)
        return trouble_of(self.diverged, self._projection.unread, self.position.offset)

    @property
    def idle(self) -> bool:
        """Nobody waits for it, listens to it, and it does nothing: it may be evicted."""
        return self.task is None and not self._waiters and not self.subscribers

    def ring(self) -> None:
        """Something may have changed: read to the head. On the loop."""
        self._again = True
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._pump())
            self.task.add_done_callback(self._pumped)

    def _pumped(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            logger.error("The projector of %r failed; it tries again.", self.key, exc_info=error)
            self._later(HALTED_RETRY)
        elif self._again:
            self.ring()  # rung between the last look and this callback

    async def _pump(self) -> None:
        backoff = Backoff()
        while self._again:
            self._again = False
            try:
                await self._read_to_head()
            except Closed as error:
                self.error = error
                return
            except BackplaneUnavailable as error:
                telemetry.CallFailed().emit()
                self.error = error
                if isinstance(error, Stalled) and not backoff.attempts:
                    logger.warning("%s", error)
                self._again = True
                if self._outage is None:
                    # Whoever sweeps for all keys has said that the backplane is away.
                    self._outage = Outage(logger, f"The projector of {self.key!r}", "projection", quiet=True)
                self._outage.failed(error)
                if isinstance(error, BackplaneRefused):
                    self._refuse(error)
                if refused(error) and backoff.cap < HALTED_RETRY:
                    backoff = Backoff(0.5, HALTED_RETRY)
                await backoff.pause()
            else:
                backoff = Backoff()
                if self._outage is not None:
                    self._outage.answered()
                    self._outage = None

    async def _read_to_head(self) -> None:
        projection = self._projection
        while True:
            self._reads += 1
            after = projection.position
            batch = await self._backplane.read(self.key, after, READ_LIMIT)
            self.error = None
            outcome = projection.feed(batch, after)
            if (
                outcome.action is Action.NEEDS_SNAPSHOT
                or (outcome.action is Action.ADVANCED and self._unsought)
                or (projection.unread is not None and self._seeks_what_covers(projection.unread))
            ):
                # The beginning is gone, or there is more of it than one read brings, or a part of it can't be read.
                outcome = await self._seed(batch, outcome)
                self._unsought = False
                self._unread, self._seek_at = projection.unread, time.monotonic() + REFUSED_RETRY
            elif outcome.action is Action.RESET:
                self._folded = self._drafted = 0
                self._unsought, self._unread = True, None
                # Another history may hold what an earlier one did not.
                self._disproven = self._disproven | {after} if after == self._seeded else frozenset()
            elif outcome.action is Action.NEEDS_LEADER:
                raise BackplaneUnavailable(f"Only a replica answered for {self.key!r}; its leader must.")
            elif outcome.action is Action.STALLED:
                raise Stalled(
                    f"The log {self.key!r} says that its last record is at offset {batch.head.offset}, "
                    f"and brings none after {after.offset}. It is asked again."
                )
            self._publish(outcome)
            if outcome.action is Action.HALTED:
                self._later(HALTED_RETRY)
                return
            if outcome.action is Action.AT_HEAD:
                self._unsought = False
                return
            # The loop is shared: between two batches everybody else has a turn.
            await asyncio.sleep(0)

    def _publish(self, outcome: Outcome) -> None:
        """Make what was folded visible, then tell those who wait for it."""
        projection = self._projection
        self._report.count(outcome, projection)
        self._folded += outcome.applied
        halted = outcome.action is Action.HALTED
        # After a reset, or a jump to a snapshot that the next read has yet to prove, the last value stays in sight until
        # the new one is whole; and for good where there is no new one.
        self._rebuilding = outcome.action is Action.RESET or (
            self._rebuilding and (outcome.action is Action.ADVANCED or (halted and not projection.whole))
        )
        if self._rebuilding and not halted:
            return
        if not self._rebuilding:
            self._show(outcome)
        if self._ready is not None and (self.loaded or projection.halt is not None):
            self._ready.set()
        if self._waiters:
            self._wake(outcome.action is Action.AT_HEAD)

    def _show(self, outcome: Outcome) -> None:
        """Let readers have the value, and make a snapshot of it when it is time."""
        projection = self._projection
        before, self.value = self.value, projection.value
        if outcome.action is Action.AT_HEAD or (outcome.action is Action.HALTED and projection.position.offset):
            self.loaded = True
        if self._verifier is not None:
            self._verified()
        if self.value is not before:
            self.subscribers.ring()
        interval = self._interval
        if interval and self._folded >= interval and outcome.action is not Action.HALTED:
            self._snapshots.due(self)

    # Snapshots -------------------------------------------------------------------------------------------

    @property
    def _interval(self) -> int:
        if self.spec.snapshots is None:
            return 0
        interval = self.spec.snapshots.interval
        return settings.SNAPSHOT_INTERVAL if interval is None else interval

    async def _seed(self, batch: Batch, outcome: Outcome) -> Outcome:
        """Go on from a snapshot, if there is one that helps. Where the beginning is gone, nothing else helps."""
        projection = self._projection
        unread = 0 if projection.unread is None else projection.unread.offset
        base = await find_restore_point(self._snapshots.store, self.key, self.spec, batch, self._disproven, unread)
        if isinstance(base, RestorePoint) and (unread or base.position.offset > projection.position.offset):
            if projection.position.offset and outcome.action is Action.NEEDS_SNAPSHOT:
                telemetry.Reseeded(self.key, self.spec.name).emit()
                logger.warning("%r fell behind a compaction and goes on from a snapshot.", self.key)
            projection.seed(base.value, base.position)
            self._seeded, self._folded, self._drafted, self._rebuilding = base.position, 0, 0, True
            return Outcome(undecodable=outcome.undecodable, unknown=outcome.unknown)
        if outcome.action is Action.NEEDS_SNAPSHOT:
            return projection.halt_for_gap(base.why if isinstance(base, NoRestorePoint) else None, batch.hole)
        return outcome

    def _seeks_what_covers(self, unread: Unread) -> bool:
        """Whether to look for a snapshot that covers a record which was passed over: at once, and then now and then."""
        return unread != self._unread or time.monotonic() >= self._seek_at

    def draft(self) -> SnapshotRequest | None:
        """What to store in a snapshot now; None while the value is not the fold of the whole log by this code."""
        projection = self._projection
        if (
            not self._folded
            or not projection.position.offset
            or not self._interval
            or self._rebuilding
            or projection.halt is not None
            or projection.unread is not None
            or self.diverged is not None
        ):
            return None
        self._drafted = self._folded
        return SnapshotRequest(self.key, self.spec, projection.value, projection.position)

    def snapshot_taken(self, draft: SnapshotRequest, answer: SaveResult) -> None:
        """What became of a draft."""
        if answer.verdict is None:
            # Another value may be storable, later.
            self.snapshot_at = time.monotonic() + REFUSED_RETRY
            telemetry.SnapshotRefused(self.key, self.spec.name, answer.error).emit()
            logger.error("%r has no new snapshot: %s", self.key, answer.error)
        elif answer.verdict in (SaveOutcome.DIVERGED, SaveOutcome.STOPPED):
            self._diverge(answer.error)
        elif answer.verdict is SaveOutcome.UNPROVEN:
            self._snapshots.due(self)
        else:
            if answer.verdict is SaveOutcome.SAVED:
                telemetry.SnapshotSaved(self.key, self.spec.name).emit()
            self._folded -= self._drafted
            if self._folded >= self._interval:
                self._snapshots.due(self)

    def _verified(self) -> None:
        """Look whether the fold, or a reader, did what it must not."""
        assert self._verifier is not None
        self._verifier.give(self.value)
        if self._verifier.found is not None and self.diverged is None:
            self._diverge(self._verifier.found)
            self._snapshots.stop(self, self._verifier.found)

    def _diverge(self, why: str) -> None:
        self.diverged = why
        telemetry.FoldDiverged(self.key, self.spec.name, why).emit()
        logger.error("%r is no longer snapshotted nor compacted: %s. Make its folds pure.", self.key, why)

    def read(self) -> V:
        """The value; where folds are verified, a clean copy of it if a reader has changed it."""
        if self._verifier is None:
            return self.value
        value = self._verifier.taken(self.value)
        if value is not self.value:
            self.value = value
        return value

    # -----------------------------------------------------------------------------------------------------

    def _later(self, seconds: float) -> None:
        if self._timer is None:

            def again() -> None:
                self._timer = None
                self.ring()

            self._timer = asyncio.get_running_loop().call_later(seconds, again)

    async def ready(self) -> None:
        """Wait until `value` may be handed out. Raises `KeyHalted` when the key stands still without a good value, and
        `BackplaneRefused` where waiting does not help.
        """
        while not self.loaded:
            if (halt := self._projection.halt) is not None:
                raise KeyHalted(f"{self.key!r} stands still and has no good value yet: {halt}")
            if isinstance(self.error, BackplaneRefused):
                raise type(self.error)(str(self.error))
            if self._ready is None:
                self._ready = asyncio.Event()
            await self._ready.wait()

    def reach(self, epoch: str, offset: int) -> asyncio.Future[None] | None:
        """A future that is done once the fold has passed ``offset`` of ``epoch``; None when it has already. On the loop.

        It raises `EpochChanged` when the log turns out to have another epoch, and `KeyHalted` when the key stands still.
        """
        if self._passed(epoch, offset):
            return None
        waiter = _Waiter(epoch, offset, self._reads, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self.ring()
        if isinstance(self.error, BackplaneRefused):
            self._refuse(self.error)
        return waiter.future

    def _refuse(self, error: BackplaneRefused) -> None:
        """Tell those who wait what is known already: the server refuses, and waiting does not help."""
        if self._ready is not None:
            self._ready.set()
            self._ready = None  # who comes later waits for another answer
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(type(error)(str(error)))

    @property
    def obstacle(self) -> ViaStateError | None:
        """Why the log can't be read, where waiting does not help or has lasted for a minute."""
        return self.error if self._outage is not None and self._outage.long else None

    def _passed(self, epoch: str, offset: int) -> bool:
        """Whether the visible value holds the record."""
        return not self._rebuilding and self.position.epoch == epoch and self.position.offset >= offset

    def _wake(self, at_head: bool) -> None:
        """Answer the waiters whose answer is known now."""
        waiting = []
        halt = self._projection.halt
        for waiter in self._waiters:
            future = waiter.future
            if future.done():
                continue
            if self._passed(waiter.epoch, waiter.offset):
                future.set_result(None)
            elif halt is not None:
                where = f"{self.key!r} stands still at offset {self.position.offset}"
                future.set_exception(KeyHalted(f"{where}: {halt}"))
            elif at_head and self.position.epoch != waiter.epoch and self._reads > waiter.reads:
                # Only a read that began after the waiter came can say that its epoch is over.
                future.set_exception(
                    EpochChanged(
                        f"The log {self.key!r} was restored or recreated since offset {waiter.offset} was given out. "
                        "Read without at_least."
                    )
                )
            else:
                waiting.append(waiter)
        self._waiters = waiting

    def stop(self) -> None:
        """Stop reading. Those who wait are told."""
        self._snapshots.forget(self)
        if self._outage is not None:
            self._outage.over()
        if self._timer is not None:
            self._timer.cancel()
        if self.task is not None:
            self.task.cancel()
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(Closed("The pod was closed."))
        self._waiters = []
        self._report.stop()
