"""All that a pod writes down: in rows or in memory, which is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database.erasures import RowErasures
from via_state.bookkeeping.database.halted_keys import RowHaltedKeys
from via_state.bookkeeping.database.peers import RowPeers
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.database.rates import RowRates
from via_state.bookkeeping.database.snapshots import RowSnapshots
from via_state.bookkeeping.erasures import ErasureStore
from via_state.bookkeeping.halted_keys import HaltedKeyStore
from via_state.bookkeeping.memory.erasures import NoErasures
from via_state.bookkeeping.memory.halted_keys import MemoryHaltedKeys
from via_state.bookkeeping.memory.peers import MemoryPeers
from via_state.bookkeeping.memory.positions import MemoryPositions
from via_state.bookkeeping.memory.rates import NoRates
from via_state.bookkeeping.memory.snapshots import MemorySnapshots
from via_state.bookkeeping.peers import PeerStore
from via_state.bookkeeping.positions import PositionStore
from via_state.bookkeeping.rates import RateStore
from via_state.bookkeeping.snapshots import SnapshotStore
from via_state.runtime.worker_threads import WorkerThreads


@dataclass(frozen=True, slots=True)
class Books:
    """The books of one pod. ``shared``: other processes read and write them, too, and they outlive this one."""

    shared: bool
    #: Of one worker.
    positions: Callable[[], PositionStore]
    snapshots: SnapshotStore
    halted_keys: HaltedKeyStore
    peers: PeerStore
    erasures: ErasureStore
    rates: RateStore


#: Pods over one backplane in memory share its books, as they share its logs.
_in_memory: WeakKeyDictionary[Backplane, Books] = WeakKeyDictionary()


def books_of(backplane: Backplane, threads: WorkerThreads, pod_id: str) -> Books:
    """Rows, whose statements run on ``threads``, for a backplane that keeps what it has; else memory."""
    if backplane.durable:
        return Books(
            True,
            lambda: RowPositions(pod_id),
            RowSnapshots(threads),
            RowHaltedKeys(threads),
            RowPeers(threads),
            RowErasures(threads),
            RowRates(threads),
        )
    in_memory = Books(
        False, MemoryPositions, MemorySnapshots(), MemoryHaltedKeys(), MemoryPeers(), NoErasures(), NoRates()
    )
    return _in_memory.setdefault(backplane, in_memory)
