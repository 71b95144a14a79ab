"""Event handlers."""

from __future__ import annotations

from typing import Annotated

from via_state.telemetry.event import Count, Event, Events, OffsetAt, Seconds


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


class HandlerThreads(Event, frozen=True, gc=False):
    """By how much the threads of this process changed on which handlers may run, and those of them on which one runs."""

    threads: Count
    busy: Count


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
