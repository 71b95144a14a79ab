"""Live pages."""

from __future__ import annotations

from via_state.telemetry.event import Count, Event, Seconds


class TabsCounted(Event, frozen=True, gc=False):
    """A tab came to an event loop of this process, or left it. ``change`` is 1 or -1."""

    change: Count


class TabRefused(Event, frozen=True, gc=False):
    """A connection, or a node that it asked for, was not served. ``reason``: origin, garbage, token, limit, signed-out, reload, slow, …"""

    reason: str


class TabResumed(Event, frozen=True, gc=False):
    """How what a tab showed of one node stood to what was here: same, behind, other, ahead."""

    order: str


class TabUnproven(Event, frozen=True, gc=False):
    """A tab shows more of a node than this process could prove within ``LIVE_WAIT``."""

    node: str


class FramesSent(Event, frozen=True, gc=False):
    """So many frames of a kind went to tabs in one turn of an event loop: text, whole, delta, same, rewritten, token, stale or gone."""

    kind: str
    frames: Count


class FrameLinesSent(Event, frozen=True, gc=False):
    """The lines in which they went. ``size``: characters."""

    size: Count


class TokenRefused(Event, frozen=True, gc=False):
    """The token of a node, or the ticket of a page, does not count. ``why``: "forged", also what is no token; "old", or of a clock that is
    ahead; "other": of another visitor, or for another purpose.
    """

    why: str


class NodeRendered(Event, frozen=True, gc=False):
    """A live node was rendered, once for all tabs of an event loop that see the same. ``node``: the declaration or the fragment."""

    node: str
    seconds: Seconds


class BroadcastDropped(Event, frozen=True, gc=False):
    """A broadcast was dropped: too many waited for a tab."""
