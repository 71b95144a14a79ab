"""What a hub does about an announcement."""

from __future__ import annotations

from collections.abc import Callable

from via_state.live.announcing.announcement import Announcement, Content, End, Recheck, Refresh, line
from via_state.live.announcing.audience import ALL
from via_state.live.serving.hub import Hub


def deed(said: Announcement) -> Callable[[Hub], int]:
    """What a hub does about it."""
    what = said.what
    if isinstance(what, Content):
        text = line(said.sender, said.number, what)
        return lambda hub: hub.deliver(said.to, text)

    def do(hub: Hub) -> int:
        match what:
            case End(session):
                hub.end(session)
            case Recheck(to):
                hub.recheck(None if to == ALL else to)
            case Refresh(nodes):
                hub.refresh(nodes)
        return 0

    return do


def kind_of(what: Content) -> str:
    """What tabs and metrics call it."""
    return {"Notice": "notify", "Signals": "signals", "Code": "script"}[type(what).__name__]
