"""What a block of code writes: positions that a reader can wait for, on this pod or any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec

if TYPE_CHECKING:
    from via_state.pod.pod import Pod


class TrackedWrite(NamedTuple):
    """The last write under one key: what to pass as ``at_least`` to a read that must show it."""

    spec: LogSpec[Any] | CellSpec[Any]
    at: Offset | Revision

    def follows(self, other: TrackedWrite) -> bool:
        """Whether a reader that has this one has the other as well, as far as that can be told."""
        if isinstance(self.at, Offset) and isinstance(other.at, Offset):
            return self.at.epoch != other.at.epoch or self.at >= other.at
        if isinstance(self.at, Revision) and isinstance(other.at, Revision):
            return self.at.number >= other.at.number
        return True


class TrackedWrites:
    """The writes of one block of code. What `append_on_commit` writes is not among them: it has no position before the commit."""

    def __init__(self) -> None:
        self._writes: dict[Pod, dict[str, TrackedWrite]] = {}

    def __bool__(self) -> bool:
        return bool(self._writes)

    def of(self, pod: Pod) -> dict[str, TrackedWrite]:
        """What was written through this pod, by wire key."""
        return dict(self._writes.get(pod, ()))

    def note(self, pod: Pod, key: str, spec: LogSpec[Any] | CellSpec[Any], at: Offset | Revision) -> None:
        """Something was written. Of two that overtook each other the newer one counts."""
        writes, write = self._writes.setdefault(pod, {}), TrackedWrite(spec, at)
        if key not in writes or write.follows(writes[key]):
            writes[key] = write


_tracked: ContextVar[TrackedWrites | None] = ContextVar("via_state_tracked_writes", default=None)


@contextmanager
def track_writes() -> Iterator[TrackedWrites]:
    """Within the block, and in the tasks and threads that it starts with its context, writes are noted.

    A block inside another one has writes of its own, and the outer one does not learn of them.
    """
    writes = TrackedWrites()
    token = _tracked.set(writes)
    try:
        yield writes
    finally:
        _tracked.reset(token)


def tracking_writes() -> bool:
    """Whether somebody notes what the code that runs now writes."""
    return _tracked.get() is not None


def wrote(pod: Pod, key: str, spec: LogSpec[Any] | CellSpec[Any], at: Offset | Revision | None) -> None:
    """Called after each write, in the context of its caller. ``at`` is None where nothing had to be written."""
    if at is not None and (writes := _tracked.get()) is not None:
        writes.note(pod, key, spec, at)
