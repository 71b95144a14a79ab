"""Snapshots and compaction."""

from __future__ import annotations

from typing import Annotated

from via_state.telemetry.event import Event, Events, OffsetAt, Seconds


class SnapshotSaved(Event, frozen=True, gc=False):
    """This process stored a snapshot. ``seconds``: from its value to the store's answer."""

    key: str
    template: str
    seconds: Seconds
    size: Annotated[int, "bytes"]


class SnapshotCompared(Event, frozen=True, gc=False):
    """Another process had stored a snapshot of the same position. ``outcome``: "same", or "different" values."""

    key: str
    template: str
    outcome: str


class SnapshotRefused(Event, frozen=True, gc=False):
    """A value can't be stored in a snapshot."""

    key: str
    template: str
    why: str


class SnapshotStoreFailed(Event, frozen=True, gc=False):
    """A call of the snapshot store, or of the backplane for it, failed. It is tried again."""


class Compacted(Event, frozen=True, gc=False):
    """This process discarded the records of a log up to ``floor``. ``records``: how many, which may be estimated where they are many."""

    key: str
    template: str
    floor: OffsetAt
    records: Events
    seconds: Seconds
