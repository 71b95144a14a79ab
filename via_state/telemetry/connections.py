"""The backplane, the sweep and the loop."""

from __future__ import annotations

from via_state.telemetry.event import Count, Event, Seconds


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
