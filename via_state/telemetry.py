"""Every event that the parts of via_state emit about themselves, with its measures and their units.

The pod, the event handlers and the runtime emit, and know nothing of who listens. The Prometheus metrics (``via_state.metrics``)
subscribe to these events; so can a project, for its log, its signals or OpenTelemetry::

    from via_state import telemetry

    @telemetry.DeadLettered.subscribe
    def tell(event: telemetry.DeadLettered) -> None: ...

A subscriber is called at once, in the thread of whoever emits, often that of the event loop: it must not block, and must not call
via_state. One that raises is logged and called no more; what emitted the event is not affected.

``key`` is the key itself, with the room, the user or the session in it; ``template`` is the declared key, of which there are few. What
happens with every fold is added up (`folds`) and emitted once a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

import msgspec

__all__ = [
    "AfterCommitFailed",
    "AppendFailed",
    "Appended",
    "CallFailed",
    "Compacted",
    "Count",
    "DeadLettered",
    "DeliveryBegan",
    "DeliveryEnded",
    "DeliveryFailed",
    "EpochReset",
    "ErasureFailed",
    "Event",
    "Events",
    "FoldDiverged",
    "Folded",
    "Folds",
    "HandlerBlocked",
    "HandlerFenced",
    "HandlerHalted",
    "HandlerLag",
    "HandlerRegistered",
    "HandlerResumed",
    "HandlerStuck",
    "KeyHalted",
    "KeyResumed",
    "KeysHeld",
    "LeaseRenewed",
    "LogLoaded",
    "LogReady",
    "LoopBeat",
    "OffsetAt",
    "OutageEnded",
    "OutageLasts",
    "OutboxCounted",
    "ReadWaited",
    "RecordsSkipped",
    "Relayed",
    "Reseeded",
    "Seconds",
    "SessionEndFailed",
    "SnapshotRefused",
    "SnapshotSaved",
    "SnapshotStoreFailed",
    "StrangerMet",
    "SweepFailed",
    "Swept",
    "UpdateContended",
    "UpdateEnded",
    "all_events",
    "flush",
    "folds",
]

logger = logging.getLogger("via_state")

E = TypeVar("E", bound="Event")

Seconds = Annotated[float, "seconds"]
Events = Annotated[int, "events"]
Count = Annotated[int, "count"]
OffsetAt = Annotated[int, "offset"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """What happened, and its measures."""

    _subscribers: ClassVar[tuple[Callable[[Any], object], ...]] = ()

    @classmethod
    def subscribe(cls: type[E], subscriber: Callable[[E], object]) -> Callable[[E], object]:
        """Have ``subscriber(event)`` called for each event of this class. Gives the subscriber back: it is a decorator as well."""
        with _lock:
            cls._subscribers = (*cls._subscribers, subscriber)
        return subscriber

    @classmethod
    def unsubscribe(cls: type[E], subscriber: Callable[[E], object]) -> None:
        """Call ``subscriber`` no more."""
        with _lock:
            cls._subscribers = tuple(one for one in cls._subscribers if one != subscriber)

    @classmethod
    def units(cls) -> dict[str, str]:
        """The unit of each measure; the other fields are texts."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}

    def emit(self) -> None:
        """Tell all subscribers. From any thread; raises nothing."""
        for subscriber in self._subscribers:
            try:
                subscriber(self)
            except KeyboardInterrupt:
                raise
            except BaseException:  # SystemExit, too: it would end the loop
                type(self).unsubscribe(subscriber)
                logger.exception("A subscriber of %s raised. It is called no more.", type(self).__name__)


_lock = Lock()

# Appends and updates --------------------------------------------------------------------------------------


class Appended(Event, frozen=True, gc=False):
    """The backplane acknowledged an append of this process. ``seconds``: of each call that travelled in it, from the call to here."""

    key: str
    events: Events
    seconds: Annotated[Sequence[float], "seconds of each call"]


class Relayed(Event, frozen=True, gc=False):
    """Events that waited in the outbox are in their log."""

    key: str
    events: Events


class OutboxCounted(Event, frozen=True, gc=False):
    """This process looked at the outbox. ``oldest``: age of the record that waits longest. ``aside``: records that wait for a person."""

    waiting: Count
    oldest: Seconds
    aside: Count


class AppendFailed(Event, frozen=True, gc=False):
    """So many calls of append get an error. ``reason``: "unavailable", nothing was written; "unknown", it may have been; "refused"."""

    reason: str
    calls: Count


class UpdateEnded(Event, frozen=True, gc=False):
    """A call of update, or set, ended. ``seconds``: with all rounds. ``outcome``: "ok"; "contended", it was given up."""

    key: str
    template: str
    seconds: Seconds
    outcome: str


class ReadWaited(Event, frozen=True, gc=False):
    """A read with at_least ended. ``outcome``: "caught_up", "timeout", "epoch" (the log was rewritten), "halted"."""

    key: str
    template: str
    outcome: str


class UpdateContended(Event, frozen=True, gc=False):
    """A round of compare-and-swap was lost to another writer."""

    key: str
    template: str


class AfterCommitFailed(Event, frozen=True, gc=False):
    """An on_commit hook raised after a commit. ``what`` was committed: "handler", "replay", "append_on_commit" and so on."""

    what: str


class SessionEndFailed(Event, frozen=True, gc=False):
    """The state of a session was not ended with it, or not in time."""


class ErasureFailed(Event, frozen=True, gc=False):
    """The state of a deleted owner could not be erased; where that was noted, it is tried again."""


# Connections ----------------------------------------------------------------------------------------------


class CallFailed(Event, frozen=True, gc=False):
    """A call of the backplane or the database failed for want of a connection. It is tried again, or its caller gets the error."""


class OutageLasts(Event, frozen=True, gc=False):
    """``what`` has failed for a minute, or is refused, and is still tried again. Ends with `OutageEnded` of the same ``kind``."""

    kind: str
    what: str


class OutageEnded(Event, frozen=True, gc=False):
    """What `OutageLasts` said is over: it works, or is no longer tried."""

    kind: str
    what: str


class StrangerMet(Event, frozen=True, gc=False):
    """A row or a message that is not ours lay among ours on ``server``, and was skipped. Each look at it counts."""

    server: str


class Swept(Event, frozen=True, gc=False):
    """A sweep succeeded. ``keys``: those that its answer named. ``rung``: doorbells since the sweep before."""

    seconds: Seconds
    keys: Count
    rung: Count


class SweepFailed(Event, frozen=True, gc=False):
    """A sweep failed; it is tried again."""


class KeysHeld(Event, frozen=True, gc=False):
    """After a sweep: the keys in memory, and those of them (``found``) whose change the sweep told before a doorbell did."""

    logs: Count
    cells: Count
    found: Count


class LoopBeat(Event, frozen=True, gc=False):
    """The loop of this process had a turn; it has one each second. ``late``: by how much this one was."""

    late: Seconds


# Folds ----------------------------------------------------------------------------------------------------


class LogLoaded(Event, frozen=True, gc=False):
    """This process begins to fold a key."""

    key: str
    template: str


class LogReady(Event, frozen=True, gc=False):
    """A key that this process began to fold has its value. ``origin``: what the fold began with, "genesis" or "snapshot"."""

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


# Snapshots ------------------------------------------------------------------------------------------------


class SnapshotSaved(Event, frozen=True, gc=False):
    """This process stored a snapshot."""

    key: str
    template: str


class SnapshotRefused(Event, frozen=True, gc=False):
    """A value can't be stored in a snapshot."""

    key: str
    template: str
    why: str


class SnapshotStoreFailed(Event, frozen=True, gc=False):
    """A call of the snapshot store, or of the backplane for it, failed. It is tried again."""


class Compacted(Event, frozen=True, gc=False):
    """This process discarded the records of a log up to ``floor``."""

    key: str
    template: str
    floor: OffsetAt


# Event handlers -------------------------------------------------------------------------------------------


class HandlerRegistered(Event, frozen=True, gc=False):
    """A worker runs this event handler from now on."""

    handler: str
    template: str


class DeliveryBegan(Event, frozen=True, gc=False):
    """A handler is given the first record of a turn. ``seconds``: since the worker noticed that the log has more records."""

    handler: str
    template: str
    seconds: Seconds


class DeliveryEnded(Event, frozen=True, gc=False):
    """A handler returned or raised. ``seconds``: for how long it ran. ``outcome``: "ok" or "raised"."""

    handler: str
    template: str
    seconds: Seconds
    outcome: str


class DeliveryFailed(Event, frozen=True, gc=False):
    """A handler raised, or may have killed its worker. ``attempts``: at this record, this one included."""

    handler: str
    template: str
    key: str
    offset: OffsetAt
    attempts: Count


class DeadLettered(Event, frozen=True, gc=False):
    """A record became a dead letter. ``reason``: "failed", the handler was given it too often; "unreadable", it does not decode."""

    handler: str
    template: str
    key: str
    offset: OffsetAt
    reason: str


class HandlerBlocked(Event, frozen=True, gc=False):
    """A handler waits at a record that only newer code knows."""

    handler: str
    template: str
    key: str


class HandlerFenced(Event, frozen=True, gc=False):
    """A position was taken from a worker, by another one or by an operator."""

    handler: str
    template: str
    key: str


class LeaseRenewed(Event, frozen=True, gc=False):
    """A worker holds its positions until then."""

    until: Annotated[float, "seconds since 1970"]


class HandlerStuck(Event, frozen=True, gc=False):
    """Failed attempts at the record that fails most often, of all keys that this worker runs the handler on; 0 when none fails."""

    handler: str
    template: str
    attempts: Count


class HandlerHalted(Event, frozen=True, gc=False):
    """A position is halted until an operator says where to continue. Ends with `HandlerResumed` of the same reason."""

    handler: str
    template: str
    key: str
    reason: str


class HandlerResumed(Event, frozen=True, gc=False):
    """A position is no longer halted, or no longer this worker's."""

    handler: str
    template: str
    key: str
    reason: str


class HandlerLag(Event, frozen=True, gc=False):
    """By how much the number of records changed that follow the positions of this worker."""

    handler: str
    template: str
    change: Events


# What is added up -----------------------------------------------------------------------------------------


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


def all_events() -> list[type[Event]]:
    """Every class of events, as they stand in this module."""
    return Event.__subclasses__()
