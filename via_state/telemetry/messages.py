"""What processes say to each other and to tabs, and what they did not hear."""

from __future__ import annotations

from via_state.telemetry.event import Count, Event


class MessageDropped(Event, frozen=True, gc=False):
    """A message that came from another process was not heard. ``topic``: "b" for broadcasts, "peers", "layer". ``reason``: "forged",
    "old" or "replay" (its seal), "form" (not one of ours), "scripts" (``LIVE_SCRIPTS`` is off), "full" (too many wait for the tabs).
    """

    topic: str
    reason: str


class Broadcasted(Event, frozen=True, gc=False):
    """This process told its tabs, and the carrier, something. ``kind``: "notify", "signals" or "script". ``tabs``: its own that matched."""

    kind: str
    tabs: Count


class BroadcastFailed(Event, frozen=True, gc=False):
    """The carrier did not take a message to other processes, or did not say so. The tabs of this one have it."""


class BroadcastsFound(Event, frozen=True, gc=False):
    """Messages of other processes that were missing, and came after all: they were overtaken, or said again."""

    count: Count


class BroadcastsLost(Event, frozen=True, gc=False):
    """Messages of other processes that were sent and did not arrive here."""

    count: Count
