"""The only thing that folds a key's log on this pod: the shell around `core.projection` that does the reading."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from typing import Any, Generic, NamedTuple, TypeVar

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.conf import settings
from via_state.core.portions import Portions
from via_state.core.projection import Action, Outcome, Projection
from via_state.core.records import GENESIS, AppendedAfter, Batch, Pack, Position
from via_state.core.snapshots import NoRestorePoint, RestorePoint
from via_state.core.specs import LogSpec
from via_state.core.text import around
from via_state.core.verifier import Verifier
from via_state.core.visibility import Shown, Visibility
from via_state.exceptions import (
    BackplaneRefused,
    BackplaneUnavailable,
    Closed,
    EpochChanged,
    KeyHalted,
    Stalled,
    ViaStateError,
)
from via_state.logs import about
from via_state.pod.halted_keys import trouble_of
from via_state.pod.reading.batches import FIRST_READ, Batches, Pace, Read, Replays
from via_state.pod.reading.fold_report import FoldReport
from via_state.pod.reading.replica import Looked, Replica
from via_state.pod.reading.restoring import Restoring
from via_state.pod.snapshots.snapshotter import Snapshotter
from via_state.pod.snapshots.source import SnapshotSource
from via_state.runtime.single_flight import Rest

V = TypeVar("V")
logger = logging.getLogger("via_state.projector")

HALTED_RETRY = 5.0  # seconds: a halted key looks again whether its cause is gone


class ProjectionStatus(NamedTuple):
    """How a key stands on this pod, at one moment. ``value`` is the fold up to ``position``.

    ``halted`` says why it is halted, or is None. ``diverged`` says why there are no more snapshots: its fold was seen
    not to be pure.
    """

    position: Position
    halted: str | None
    value: Any
    diverged: str | None = None


class Place(NamedTuple):
    """An offset that somebody waits for."""

    epoch: str
    offset: int


class Projector(Replica[Place], Generic[V]):
    """Folds one key: a ring makes it read to the head."""

    __slots__ = (
        "_at",
        "_backplane",
        "_projection",
        "_ready",
        "_replays",
        "_report",
        "_verifier",
        "_visibility",
        "error",
        "restoring",
        "snapshots",
        "spec",
    )

    def __init__(
        self,
        key: str,
        spec: LogSpec[V],
        backplane: Backplane,
        snapshotter: Snapshotter,
        looked: Looked,
        replays: Replays,
    ) -> None:
        super().__init__(key, looked, kind="projection")
        self.spec = spec
        self._backplane, self._replays = backplane, replays
        self._verifier: Verifier[V] | None = Verifier() if settings.FOLD_VERIFY else None
        self._projection = Projection(spec, self._verifier)
        self._visibility = Visibility(self._projection.value)
        self._at = GENESIS  # where it was after the last look
        #: The last failure to read, until a read succeeds.
        self.error: ViaStateError | None = None
        self._ready: asyncio.Event | None = None
        self._report = FoldReport(key, spec)
        self.restoring = Restoring(key, spec, snapshotter.store)
        self.snapshots = SnapshotSource(key, spec, snapshotter, self._projection, self._visibility, self.ring)

    # What readers see -------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether there is a value to hand out: the head was reached once, or the key was halted with a good value."""
        return self._visibility.loaded

    @property
    def shown(self) -> Shown[V]:
        """Value, position and halt, of one moment; from any thread. Where folds are verified, a clean copy of a value that a
        reader has changed.
        """
        shown = self._visibility.shown
        if self._verifier is None:
            return shown
        value = self._verifier.taken(shown.value)
        return shown if value is shown.value else shown._replace(value=value)

    def read(self) -> V:
        """The value."""
        return self.shown.value

    # How it stands, on the loop ---------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """How far the log is folded, which readers may not see yet."""
        return self._projection.position

    def has(self, position: Position) -> bool:
        """Whether a position is folded, which readers may not see yet."""
        own = self.position
        return own.epoch == position.epoch and own.offset >= position.offset

    @property
    def at(self) -> object:
        return self.position if self.position.offset else None

    @property
    def idle(self) -> bool:
        return super().idle and not self.snapshots.due

    @property
    def status(self) -> ProjectionStatus:
        halt = self._projection.halt
        halted = None if halt is None else str(halt)
        return ProjectionStatus(self.position, halted, self._projection.value, self.snapshots.diverged)

    @property
    def troubled(self) -> bool:
        """Whether there is a `halt_report`."""
        projection = self._projection
        return projection.halt is not None or projection.unread is not None or self.snapshots.diverged is not None

    def halt_report(self) -> HaltReport | None:
        """What an operator should look at."""
        halt = self._projection.halt
        if halt is not None:
            return HaltReport(halt.reason.value, str(halt), self.position.offset)
        return trouble_of(self.snapshots.diverged, self._projection.unread, self.position.offset)

    @property
    def obstacle(self) -> Exception | None:
        """Why the log can't be read, where waiting does not help or has lasted for a minute."""
        return self.flight.obstacle

    # Reading ----------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"The projector of {self.key!r}"

    async def _catch_up(self) -> Rest:
        try:
            return await self._read_to_head()
        except (BackplaneUnavailable, Closed) as error:
            self.error = error
            if isinstance(error, Stalled) and self.flight.failing is None:
                logger.warning("%s", error, extra=about(key=self.key, reason="stalled"))
            if isinstance(error, BackplaneRefused):
                self._refuse(error)
            raise

    async def _read_to_head(self) -> Rest:
        with closing(Batches(self.key, self._backplane, self.waiters, self._replays)) as batches:
            pace = Pace()
            while True:
                after = self._projection.position
                read = await batches.read(after)
                self.error = None
                if self._projection.position != after:  # what this pod appended was faster
                    batch = read.batch.beyond(self._projection.position)
                    if batch is None:
                        continue
                    read = read._replace(batch=batch)
                action = await self._fold(read, pace)
                if action is Action.HALTED:
                    return HALTED_RETRY
                if action is Action.AT_HEAD:
                    return None

    async def _fold(self, read: Read, pace: Pace) -> Action:
        """Fold a batch, and give others a turn now and then. What happened last."""
        projection, portions = self._projection, Portions(read.batch)
        while True:
            after, batch = projection.position, portions.take(pace.records)
            pace.begin()
            outcome = projection.feed(batch, after)
            if self.restoring.wanted(outcome.action, projection.unread):
                outcome = await self._restore(batch, outcome)
            elif outcome.action is Action.RESET:
                self.snapshots.start_over()
                self.restoring.start_over(after)
            elif outcome.action is Action.NEEDS_LEADER:
                raise BackplaneUnavailable(f"Only a replica answered for {self.key!r}; its leader must.")
            elif outcome.action is Action.STALLED:
                if portions.left:
                    continue  # this part is folded already; the next one is not
                raise Stalled(
                    f"The log {self.key!r} says that its last record is at offset {batch.head.offset}, "
                    f"and brings none after {after.offset}. It is asked again."
                )
            self._publish(outcome, read.number, batch)
            pace.end()
            if outcome.action is Action.HALTED:
                return outcome.action
            if outcome.action is Action.AT_HEAD:
                self.restoring.read_to_head()
                return outcome.action
            # The loop is shared: between two parts everybody else has a turn.
            await asyncio.sleep(0)
            end = batch.packs[-1].last if batch.packs else 0
            if (
                not portions.left
                or projection.position.offset != end
                or projection.position.epoch != batch.head.epoch
            ):
                return outcome.action  # it continues elsewhere, or after this batch

    def fold_own(self, pack: Pack, last: AppendedAfter) -> None:
        """Fold what this pod has appended, where it is what follows: it need not be read back. The answer to the append is evidence as
        that of a read is: of one moment, and with the record that was the last one before.
        """
        projection = self._projection
        if projection.position == last.after and projection.unread is None and pack.count <= FIRST_READ:
            batch = Batch([pack], last, GENESIS, last.after.record_id, True)
            outcome = projection.feed(batch, last.after)
            self._publish(outcome, 0, batch)
            if outcome.action is not Action.AT_HEAD:
                self.ring()

    async def _restore(self, batch: Batch, outcome: Outcome) -> Outcome:
        """Continue from a snapshot, if there is one that helps. Where the beginning is gone, nothing else helps."""
        projection = self._projection
        found = await self.restoring.find(batch, projection)
        if isinstance(found, RestorePoint):
            if projection.position.offset and outcome.action is Action.NEEDS_SNAPSHOT:
                telemetry.Reseeded(self.key, self.spec.name).emit()
                logger.warning(
                    "%r was overtaken by a compaction, and continues from a snapshot.",
                    self.key,
                    extra=about(key=self.key, reason="compaction"),
                )
            projection.seed(found.value, found.position)
            self._visibility.restored()
            self._report.restored("migration" if found.migrated else "snapshot")
            self.snapshots.start_over()
            return Outcome(undecodable=outcome.undecodable, unknown=outcome.unknown)
        if outcome.action is Action.NEEDS_SNAPSHOT:
            return projection.halt_for_gap(found.why if isinstance(found, NoRestorePoint) else None, batch.hole)
        return outcome

    def _publish(self, outcome: Outcome, read: int, batch: Batch) -> None:
        """Make what was folded visible, then tell those who wait for it. ``read``: the number of the read that brought it."""
        projection, visibility = self._projection, self._visibility
        self._report.count(outcome, projection, batch)
        self.snapshots.folded(outcome.applied)
        moved = visibility.publish(outcome.action, projection)
        before, self._at = self._at, projection.position
        self._looked(self, before != self._at)
        if not visibility.rebuilding and self._verifier is not None:
            self._verifier.give(visibility.shown.value)
            if self._verifier.found is not None:
                self.snapshots.found_impure(self._verifier.found)
        if self._report.loading and visibility.loaded:
            self._report.ready()
        if moved:
            self.subscribers.ring()
        if not visibility.rebuilding and projection.halt is None:
            self.snapshots.consider()
        if self._ready is not None and (visibility.loaded or projection.halt is not None):
            self._ready.set()
        if self.waiters:
            at_head = outcome.action is Action.AT_HEAD
            self.waiters.answer(lambda wanted, fresh: self._reached(wanted, fresh and at_head), read)

    # Waiting ----------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until there is a value to hand out. Raises `KeyHalted` when the key is halted without a good value, and
        `BackplaneRefused` where waiting does not help.
        """
        while not self.loaded:
            if (halt := self._projection.halt) is not None:
                raise KeyHalted(around(f"{self.key!r} is halted and has no good value yet: ", halt.text))
            if isinstance(self.error, BackplaneRefused):
                raise type(self.error)(str(self.error))
            if self._ready is None:
                self._ready = asyncio.Event()
            await self._ready.wait()

    def reach(self, epoch: str, offset: int) -> asyncio.Future[None] | None:
        """A future that is done once readers see ``offset`` of ``epoch``; None when they do already. On the loop.

        It raises `EpochChanged` when the log turns out to have another epoch, and `KeyHalted` when the key is halted.
        """
        if self._visibility.holds(epoch, offset):
            return None
        future = self.waiters.add(Place(epoch, offset))
        self.ring()
        if isinstance(self.error, BackplaneRefused):
            self._refuse(self.error)
        return future

    def _refuse(self, error: BackplaneRefused) -> None:
        """Tell those who wait what is known already: the server refuses, and waiting does not help."""
        if self._ready is not None:
            self._ready.set()
            self._ready = None  # who comes later waits for another answer
        self.waiters.refuse(lambda: type(error)(str(error)))

    def _reached(self, wanted: Place | None, at_head: bool) -> bool | Exception:
        """What is known about a waiter. ``at_head``: a read that began after it came went to the head."""
        if at_head if wanted is None else self._visibility.holds(wanted.epoch, wanted.offset):
            return True
        halt, position = self._projection.halt, self.position
        if halt is not None:
            return KeyHalted(around(f"{self.key!r} is halted at offset {position.offset}: ", halt.text))
        if wanted is not None and at_head and position.epoch != wanted.epoch:
            return EpochChanged(
                f"The log {self.key!r} was restored or recreated since offset {wanted.offset} was given out. "
                "Read without at_least."
            )
        return False

    def stop(self) -> None:
        super().stop()
        self.snapshots.forget()
        self._report.stop()
