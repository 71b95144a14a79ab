"""The render of a block that is under way: what the tags in its template have to know."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from via_state.live.rendering.memo import Memo

if TYPE_CHECKING:
    from via_state.live.visitors.visitor import Visitor


class Painting:
    """``inline``: nodes in the block are written with their content, as when a page is made; else they are left empty, and the
    client asks for them. ``shared``: the block is of everybody, so that nothing in it may be of the visitor.
    """

    __slots__ = ("inline", "memo", "shared", "visitor")

    def __init__(self, visitor: Visitor, *, shared: bool, inline: bool, memo: Memo | None = None) -> None:
        self.visitor, self.shared, self.inline = visitor, shared, inline
        self.memo = Memo() if memo is None else memo


#: None while a page is rendered, outside of all blocks.
painting: ContextVar[Painting | None] = ContextVar("via_state_painting", default=None)
