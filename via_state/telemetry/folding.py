"""Folds, and what is added up of them."""

from __future__ import annotations

from threading import Lock

from via_state.telemetry.event import Count, Event, Events, OffsetAt, Seconds


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
    batches: Count
    offset: OffsetAt


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


class Folds:
    """What was folded of all keys of one template, in this process. Its fields only grow, and are written on the loop alone."""

    __slots__ = ("_told", "batches", "events", "offset", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.events = self.batches = self.offset = 0
        self._told = 0, 0

    def tell(self) -> None:
        """Emit `Folded` for what came since the last call."""
        batches, events = self._told
        self._told = self.batches, self.events
        if self._told[0] != batches:
            Folded(self.template, self._told[1] - events, self._told[0] - batches, self.offset).emit()


_lock = Lock()
_folds: dict[str, Folds] = {}


def folds(template: str) -> Folds:
    """Where a projector adds up what it folds."""
    with _lock:
        found = _folds.get(template)
        if found is None:
            found = _folds[template] = Folds(template)
        return found


def flush() -> None:
    """Emit what was added up. From any thread; the loop does that each second, and whoever shows metrics before it does."""
    with _flushing:
        for one in list(_folds.values()):
            one.tell()


_flushing = Lock()
