"""Live pages: what a visitor's tab shows follows the state that it was rendered from.

A *node* is one live place of a page: a text, an attribute or a block. Its *position vector* says how far the state was that it
shows; a tab that comes back names it, and is sent what is newer, or nothing. A *frame* is one node's news.

An *announcement* is what processes tell each other about tabs (``announcer``): broadcasts, whose session ended, what to render again. A
*carrier* takes it to every process, at most once.

Pure, without I/O, clock or Django (tests/live/test_purity.py): ``node``, ``vector``, ``frames``, ``delta``, ``pacing``, ``limits``,
``sequences``, ``kept``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from via_state.live.asgi import live
    from via_state.live.audience import ALL, Group, Page, Session, User, Viewing
    from via_state.live.broadcasts import (
        abroadcast,
        abroadcast_notify,
        abroadcast_script,
        abroadcast_signals,
        broadcast,
        broadcast_notify,
        broadcast_script,
        broadcast_signals,
    )
    from via_state.live.fragments import fragment
    from via_state.live.refreshing import arefresh, refresh, refresh_on_commit
    from via_state.live.script import Script
    from via_state.live.visitor import Visitor

#: Where each public name is: imported at its first use, so that a module of this package can be imported alone.
_HOMES = {
    "ALL": "audience",
    "Group": "audience",
    "Page": "audience",
    "Script": "script",
    "Session": "audience",
    "User": "audience",
    "Viewing": "audience",
    "Visitor": "visitor",
    "abroadcast": "broadcasts",
    "abroadcast_notify": "broadcasts",
    "abroadcast_script": "broadcasts",
    "abroadcast_signals": "broadcasts",
    "arefresh": "refreshing",
    "broadcast": "broadcasts",
    "broadcast_notify": "broadcasts",
    "broadcast_script": "broadcasts",
    "broadcast_signals": "broadcasts",
    "fragment": "fragments",
    "live": "asgi",
    "refresh": "refreshing",
    "refresh_on_commit": "refreshing",
}

__all__ = [
    "ALL",
    "Group",
    "Page",
    "Script",
    "Session",
    "User",
    "Viewing",
    "Visitor",
    "abroadcast",
    "abroadcast_notify",
    "abroadcast_script",
    "abroadcast_signals",
    "arefresh",
    "broadcast",
    "broadcast_notify",
    "broadcast_script",
    "broadcast_signals",
    "fragment",
    "live",
    "refresh",
    "refresh_on_commit",
]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
