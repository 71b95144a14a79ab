"""Snapshots and compaction."""

from __future__ import annotations

from via_state.telemetry.event import Event, OffsetAt


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
