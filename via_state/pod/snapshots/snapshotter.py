"""Makes snapshots of what the projectors of a pod have folded."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import Any, Protocol

from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.snapshots import SaveResult, SnapshotRequest, SnapshotStore
from via_state.core.records import Position
from via_state.core.snapshot_generations import SaveOutcome
from via_state.core.specs import LogSpec
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown
from via_state.pod.snapshots.compactor import Compactor
from via_state.pod.snapshots.proof import held, holds
from via_state.runtime.outage import Outage
from via_state.runtime.single_flight import AWAY, Rest, SingleFlight

logger = logging.getLogger("via_state.snapshots")

PAUSE = 1.0  # seconds between two snapshots of a key
PORTION = 50  # requests in one call of the store
STOP_SECONDS = 3.0  # for the last snapshots of a pod


class Source(Protocol):
    """A projection, as the snapshotter sees it."""

    key: str
    spec: LogSpec[Any]
    snapshot_at: float

    @property
    def position(self) -> Position:
        """Where it stands."""

    def request(self) -> SnapshotRequest | None:
        """What to store now, or None when its value may not become a snapshot."""

    def snapshot_taken(self, request: SnapshotRequest, answer: SaveResult) -> None:
        """What became of it."""

    def ring(self) -> None:
        """Look at the log again: it does not hold the record where the request stands."""


class Snapshotter:
    """The snapshots of one pod, and the compactions that follow. Idle it has no task."""

    def __init__(self, backplane: Backplane, store: SnapshotStore, lease_owner: str) -> None:
        self._lease_owner = lease_owner
        self.store = store
        self._due: dict[Source, None] = {}
        self._diverged: dict[Source, str] = {}
        self._backplane = backplane
        self._compactor = Compactor(backplane, self.store)
        self.decide = self._compactor.decide
        self._one_at_a_time = asyncio.Lock()
        name = "The writing of snapshots"
        self._flight = SingleFlight(name, self._save_due, cap=15.0, outage=Outage(logger, name, "snapshots"))

    def due(self, source: Source) -> None:
        """Snapshot a key as soon as its turn comes. On the loop."""
        self._due[source] = None
        self._flight.ring()

    def waits_for(self, source: Source) -> bool:
        """Whether a snapshot of a key is due and not made yet."""
        return source in self._due

    def forget(self, source: Source) -> None:
        """A projector leaves."""
        self._due.pop(source, None)
        self._diverged.pop(source, None)

    def stop(self, source: Source, why: str) -> None:
        """No more snapshots of this code, on any pod: its fold is not pure."""
        self._diverged[source] = why
        self.due(source)

    async def _save_due(self) -> Rest:
        try:
            await self._turn(time.monotonic())
        except AWAY:
            telemetry.SnapshotStoreFailed().emit()
            raise
        if not self._due:
            return None
        return max(0.0, min(one.snapshot_at for one in self._due) - time.monotonic())

    async def flush(self) -> None:
        """Make the snapshots that are due and compact, at once. Raises `BackplaneUnavailable`. For tests and commands."""
        await self._turn(math.inf)
        await self._compactor.run()

    async def _turn(self, until: float) -> None:
        """The snapshots whose time comes before ``until``."""
        async with self._one_at_a_time:
            await self._stop_diverged()
            await self._save([one for one in self._due if one.snapshot_at <= until][:PORTION])

    async def _stop_diverged(self) -> None:
        for source, why in list(self._diverged.items()):
            if source.position.epoch:
                await self.store.diverge(source.key, source.position.epoch, source.spec, why)
            self._diverged.pop(source, None)

    async def _save(self, sources: Iterable[Source], *, last: bool = False) -> None:
        taken = []
        for one in sources:
            self._due.pop(one, None)
            if (request := one.request()) is not None:
                taken.append((one, request))
        if not taken:
            return
        try:
            proofs = await asyncio.gather(*(holds(self._backplane, one.key, one.position) for _, one in taken))
            for (one, _), proof in zip(taken, proofs, strict=True):
                if not (proof or last):
                    one.ring()
            taken = [pair for pair, proof in zip(taken, proofs, strict=True) if proof]
            answers = await self._offer([request for _, request in taken], last)
        except BaseException:
            self._due.update((one, None) for one, _ in taken)
            raise
        now = time.monotonic()
        for (one, request), answer in zip(taken, answers, strict=True):
            one.snapshot_at = now + max(PAUSE, answer.wait)
            one.snapshot_taken(request, answer)
            if answer.compactable:
                self._compactor.soon(request.key, request.position.epoch, one.spec)

    async def _offer(self, requests: list[SnapshotRequest], last: bool) -> list[SaveResult]:
        """Store requests; where older snapshots are in question, after a look at the log."""
        answers = await self.store.save(requests, self._lease_owner, last=last)
        unsure = [index for index, answer in enumerate(answers) if answer.outcome is SaveOutcome.UNPROVEN]
        again = []
        for index in unsure:
            request, stored = requests[index], frozenset(answers[index].stored)
            proven = await held(self._backplane, request.key, stored)
            again.append(request._replace(proven=proven, disproven=stored - proven))
        if again:
            for index, answer in zip(
                unsure, await self.store.save(again, self._lease_owner, last=last), strict=True
            ):
                answers[index] = answer
        return answers

    async def close(self, sources: Iterable[Source]) -> None:
        """The last snapshots, so that the next start is short; then nothing more."""
        await self._compactor.close()
        await self._flight.ended()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                left = list(sources)
                for start in range(0, len(left), PORTION):
                    await self._save(left[start : start + PORTION], last=True)
        except TimeoutError:
            logger.warning("Not all of the last snapshots were written within %s s.", STOP_SECONDS)
        except (BackplaneUnavailable, OutcomeUnknown, Closed) as error:
            logger.warning("The last snapshots could not be written: %s", error)
        await self.store.close()
