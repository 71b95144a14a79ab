"""Live pages: what a visitor's tab shows follows the state that it was rendered from.

A *node* is one live place of a page: a text, an attribute or a block. Its *position vector* says how far the state was that it
shows; a tab that comes back names it, and is sent what is newer, or nothing. A *frame* is one node's news.

An *announcement* is what processes tell each other about tabs: broadcasts, whose session ended, what to render again. A *carrier* takes
it to every process, at most once.

The rooms, the lowest first:

* ``protocol``: what tabs and servers say to each other about nodes. Pure, as are ``announcing.sequences`` and ``announcing.kept``
  (``tests/live/test_purity.py``).
* ``visitors``: who looks at a page, what the page says of them, and what it may ask for in their name.
* ``rendering``: what a node shows, declared, rendered and written into the page.
* ``serving``: the tabs that are connected to this process.
* ``announcing``: what is said to tabs at once, in every process.

Each imports from those above it alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from via_state.live.announcing.audience import ALL, Group, Page, Session, User, Viewing
    from via_state.live.announcing.broadcasts import (
        abroadcast,
        abroadcast_notify,
        abroadcast_script,
        abroadcast_signals,
        broadcast,
        broadcast_notify,
        broadcast_script,
        broadcast_signals,
    )
    from via_state.live.announcing.refreshing import arefresh, refresh, refresh_on_commit
    from via_state.live.announcing.script import Script
    from via_state.live.asgi import live
    from via_state.live.rendering.drafts import LiveFormMixin, form, validating
    from via_state.live.rendering.fragments import fragment
    from via_state.live.visitors.visitor import Visitor

#: Where each public name is: imported at its first use, so that a module of this package can be imported alone.
_HOMES = {
    "ALL": "announcing.audience",
    "Group": "announcing.audience",
    "LiveFormMixin": "rendering.drafts",
    "Page": "announcing.audience",
    "Script": "announcing.script",
    "Session": "announcing.audience",
    "User": "announcing.audience",
    "Viewing": "announcing.audience",
    "Visitor": "visitors.visitor",
    "abroadcast": "announcing.broadcasts",
    "abroadcast_notify": "announcing.broadcasts",
    "abroadcast_script": "announcing.broadcasts",
    "abroadcast_signals": "announcing.broadcasts",
    "arefresh": "announcing.refreshing",
    "broadcast": "announcing.broadcasts",
    "broadcast_notify": "announcing.broadcasts",
    "broadcast_script": "announcing.broadcasts",
    "broadcast_signals": "announcing.broadcasts",
    "form": "rendering.drafts",
    "fragment": "rendering.fragments",
    "live": "asgi",
    "refresh": "announcing.refreshing",
    "refresh_on_commit": "announcing.refreshing",
    "validating": "rendering.drafts",
}

__all__ = [
    "ALL",
    "Group",
    "LiveFormMixin",
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
    "form",
    "fragment",
    "live",
    "refresh",
    "refresh_on_commit",
    "validating",
]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
