"""Live pages: what a visitor's tab shows follows the state that it was rendered from.

A *node* is one live place of a page: a text, an attribute or a block. Its *position vector* says how far the state was that it
shows; a tab that comes back names it, and is sent what is newer, or nothing. A *frame* is one node's news.

Pure, without I/O, clock or Django (`tests/live/test_purity.py`): `node`, `vector`, `frames`, `delta`, `pacing`, `limits`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from via_state.live.fragments import fragment
    from via_state.live.visitor import Visitor

#: Where each public name is: imported at its first use, so that a module of this package can be imported alone.
_HOMES = {
    "Visitor": "visitor",
    "fragment": "fragments",
}

__all__ = ["Visitor", "fragment"]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
