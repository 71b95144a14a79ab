"""Folds, and what is added up of them."""

from __future__ import annotations

from threading import Lock
from typing import Protocol

from via_state.core.metadata import metadata_of
from via_state.core.records import Batch, Position
from via_state.telemetry.event import Event, Events, OffsetAt, Seconds
from via_state.telemetry.flushing import at_flush


class LogLoaded(Event, frozen=True, gc=False):
    """This process begins to fold a key."""

    key: str
    template: str


class LogReady(Event, frozen=True, gc=False):
    """A key that this process began to fold has its value. ``origin``: what the fold began with, "genesis", "snapshot", or "migration": one of other code."""

    key: str
    template: str
    seconds: Seconds
    origin: str


class Folded(Event, frozen=True, gc=False):
    """What was folded of all keys of a template since the last of these events. ``offset``: where the fold is; 0 for a family."""

    template: str
    events: Events
    offset: OffsetAt


class FoldLagged(Event, frozen=True, gc=False):
    """How long ago the newest event of a batch was appended, when that was folded. Of one batch a second, in keys that had come to their
    head before.
    """

    template: str
    seconds: Seconds


class RecordsSkipped(Event, frozen=True, gc=False):
    """A fold passed records over: those that do not decode, and those of a name that no declared event has."""

    key: str
    template: str
    undecodable: Events
    unknown: Events


class EpochReset(Event, frozen=True, gc=False):
    """The history of a log was rewritten; its fold starts over."""

    key: str
    template: str


class KeyHalted(Event, frozen=True, gc=False):
    """The fold of a key is halted in this process. ``reason``: "newer", "gap", "code", "fold" and so on. Ends with `KeyResumed`."""

    key: str
    template: str
    reason: str


class KeyResumed(Event, frozen=True, gc=False):
    """The fold of a key is no longer halted in this process for this reason, or the key is no longer held."""

    key: str
    template: str
    reason: str


class Reseeded(Event, frozen=True, gc=False):
    """A fold was overtaken by a compaction, and continues from a snapshot."""

    key: str
    template: str


class FoldDiverged(Event, frozen=True, gc=False):
    """A fold was seen not to give one value everywhere: the key is no longer snapshotted nor compacted."""

    key: str
    template: str
    why: str


class At(Protocol):
    """A projection."""

    @property
    def position(self) -> Position: ...


class Folds:
    """What was folded of all keys of one template, in this process. Its fields are written on the loop alone.

    ``events`` only grows. `tell` takes the others: ``at`` is the projection that was folded last, ``sample`` a batch, and when it was folded, of
    the first fold since.
    """

    __slots__ = ("_family", "_told", "at", "events", "sample", "template")

    def __init__(self, template: str, family: bool) -> None:
        self.template, self._family = template, family
        self.events = self._told = 0
        self.at: At | None = None
        self.sample: tuple[Batch, float] | None = None

    def tell(self) -> None:
        """Emit `Folded` for what came since the last call."""
        before, self._told = self._told, self.events
        at, sample, self.at, self.sample = self.at, self.sample, None, None
        if self._told != before:
            offset = 0 if self._family or at is None else at.position.offset
            Folded(self.template, self._told - before, offset).emit()
        if sample is not None and sample[0].packs:
            pack, folded = sample[0].packs[-1], sample[1]
            if appended := metadata_of(pack.data, pack.count, pack.count - 1).time:
                FoldLagged(self.template, max(0.0, folded - appended / 1000)).emit()


_lock = Lock()
_folds: dict[str, Folds] = {}


def folds(template: str, family: bool) -> Folds:
    """Where a projector adds up what it folds."""
    with _lock:
        found = _folds.get(template)
        if found is None:
            found = _folds[template] = Folds(template, family)
            at_flush(found.tell)
        return found
