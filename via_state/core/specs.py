"""What a declaration tells the pod: how a log folds, how a cell is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from via_state.core.cells import CellCodec
from via_state.core.events import EventCodec
from via_state.core.snapshots import SnapshotSpec

V = TypeVar("V")
T = TypeVar("T")


def _no_parameters(key: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class LogSpec(Generic[V]):
    """A declared log. ``name`` is its key, or its family's template; ``family`` says which.

    ``initial`` makes the value before the first event, a new one each time. ``snapshots`` is None where the value can't be
    stored. ``parameters`` gives those of a key, as text.
    """

    name: str
    events: EventCodec
    initial: Callable[[], V]
    family: bool = False
    snapshots: SnapshotSpec[V] | None = None
    parameters: Callable[[str], Mapping[str, str]] = _no_parameters


@dataclass(frozen=True, slots=True, eq=False)
class CellSpec(Generic[T]):
    """A declared cell. ``family`` is True where one declaration has many cells: families, sessions, users.

    ``ttl``: seconds after its last use when a cell counts as absent; None keeps it for ever.
    """

    name: str
    codec: CellCodec[T]
    initial: Callable[[], T]
    family: bool = False
    ttl: float | None = None
