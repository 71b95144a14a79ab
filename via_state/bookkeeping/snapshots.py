"""Where snapshots are kept: the interface, and what travels over it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from via_state.conf import settings
from via_state.core.records import Position
from via_state.core.snapshot_generations import Generations, RetentionHold, SaveOutcome
from via_state.core.snapshots import Snapshot
from via_state.core.specs import LogSpec

#: Seconds for which one pod makes the snapshots of a key by one code.
LEASE = 15.0


class SnapshotRequest(NamedTuple):
    """A folded value on its way to a snapshot, at a position that the log was just seen to hold.

    ``proven`` and ``disproven``: stored ones, and whether the log still holds their records; see `Generations.offer`.
    """

    key: str
    spec: LogSpec[Any]
    value: Any
    position: Position
    proven: frozenset[Position] = frozenset()
    disproven: frozenset[Position] = frozenset()


class SaveResult(NamedTuple):
    """What became of a request. ``wait``: seconds until somebody else's lease ends. ``error``: why the value can't be stored (``outcome``
    is None then), or how two pods were seen to differ. ``compactable``: older snapshots let more of the log be compacted than was.
    ``stored``: the positions to look at, of an outcome that says so. ``compared``: "same" or "different", where a snapshot of the same
    position was there; else "". ``seconds`` and ``size``: what it took to make and store the snapshot, and its bytes.
    """

    outcome: SaveOutcome | None
    wait: float = 0.0
    error: str = ""
    compactable: bool = False
    stored: Sequence[Position] = ()
    compared: str = ""
    seconds: float = 0.0
    size: int = 0


def offer(
    generations: Generations, request: SnapshotRequest, digest: str, *, lease_owner: str, now: float, last: bool
) -> SaveOutcome:
    """Decide about a folded value, and note it in the generations of its code. ``last``: the pod ends, and makes no more."""
    outcome = generations.offer(
        request.position,
        digest,
        lease_owner=lease_owner,
        now=now,
        lease=LEASE,
        min_age=settings.COMPACT_MIN_AGE,
        proven=request.proven,
        disproven=request.disproven,
    )
    if last:
        generations.release(lease_owner)
    return outcome


def result_of(
    outcome: SaveOutcome, generations: Generations, request: SnapshotRequest, now: float, seconds: float, size: int
) -> SaveResult:
    """What whoever asked is told after `offer`."""
    wait = max(0.0, generations.lease_until - now) if outcome is SaveOutcome.HELD else 0.0
    compactable = generations.compactable.offset > generations.compacted
    stored = outcome in (SaveOutcome.COVERED, SaveOutcome.HELD, SaveOutcome.DIVERGED)
    compared = "different" if outcome is SaveOutcome.DIVERGED else "same"
    return SaveResult(
        outcome,
        wait,
        generations.diverged,
        compactable=compactable,
        stored=generations.kept,
        compared=compared if stored and generations.newest == request.position else "",
        seconds=seconds,
        size=size,
    )


class SnapshotStore(ABC):
    """The snapshots of all keys. All coroutines run on the pod's loop; every one raises `BackplaneUnavailable` when the
    store can't be reached: an error is never an absence.
    """

    @abstractmethod
    def start(self) -> None:
        """Get ready, while threads can still be started: the last snapshots are written when the process ends."""

    @abstractmethod
    async def load(self, key: str, epoch: str, *, older: bool = False) -> list[Snapshot]:
        """The newest snapshots of one log, of all code; with ``older`` all that are kept."""

    @abstractmethod
    async def save(
        self, requests: Sequence[SnapshotRequest], lease_owner: str, *, last: bool = False
    ) -> list[SaveResult]:
        """Store the requests as far as the generations take them. ``last``: the owner of the lease goes away, and gives its leases up."""

    @abstractmethod
    async def register(self, key: str, epoch: str, spec: LogSpec[Any]) -> bool:
        """Say that this code is about to fold the log from its start, so that no record of it is discarded.

        False when a compaction was decided already.
        """

    @abstractmethod
    async def adopt(self, request: SnapshotRequest) -> bool:
        """Store what a migration made as this code's first snapshot; False when another pod was faster: load again."""

    @abstractmethod
    async def positions(self, key: str, epoch: str) -> list[Position]:
        """Of all snapshots of one log whose data is kept, of all code."""

    @abstractmethod
    async def decide(
        self, key: str, epoch: str, spec: LogSpec[Any], proven: Collection[Position], *, dry: bool = False
    ) -> RetentionHold:
        """How far the log may be compacted, durably decided, and what keeps it from going further. ``dry`` only looks.

        Only ``proven`` snapshots count: the log was just seen to hold their records.
        """

    @abstractmethod
    async def diverge(self, key: str, epoch: str, spec: LogSpec[Any], why: str) -> None:
        """Stop the snapshots of this code, and compaction: its fold was seen not to be pure."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything."""
