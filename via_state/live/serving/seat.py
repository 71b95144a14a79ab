"""One node of one tab: what it shows, and what it is still to be told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from via_state.conf import settings
from via_state.live.protocol.frames import (
    Asked,
    Frame,
    gone_frame,
    rewritten_frame,
    same_frame,
    stale_frame,
    token_frame,
)
from via_state.live.protocol.vector import Vector
from via_state.live.visitors.tickets import issue_time
from via_state.live.visitors.tokens import NodeToken

if TYPE_CHECKING:
    from via_state.live.protocol.content import Watched
    from via_state.live.protocol.frames import Why
    from via_state.live.serving.group import Group
    from via_state.live.serving.tab import Tab


class Seat:
    """A tab's place in a group. ``at`` and ``etag`` say what the tab shows, once all that was sent has arrived."""

    __slots__ = (
        "_renewed",
        "at",
        "due",
        "etag",
        "gone",
        "group",
        "outdated",
        "placed",
        "rewritten",
        "stale",
        "tab",
        "token",
        "watched",
    )  # fmt: skip

    def __init__(self, tab: Tab, group: Group, token: NodeToken, watched: Mapping[str, Watched]) -> None:
        self.tab, self.group, self.token, self.watched = tab, group, token, watched
        self.at: Vector = {}
        self.etag = ""
        #: Whether it is known how what the tab shows stands to what is here.
        self.placed = True
        #: Whether the tab lacks what the group shows.
        self.outdated = False
        #: Whether the tab is to be told that what it shows is current.
        self.due = False
        #: Whether the history that the tab shows is proven to be another one.
        self.rewritten = False
        #: Whether the tab is to be told that it can't be served for now.
        self.stale = False
        self.gone: Why | None = None
        self._renewed = False

    def resume(self, asked: Asked) -> None:
        """The tab shows this, and asks what it lacks."""
        at = asked.at if asked.at.keys() == self.watched.keys() else {}
        # Two places of one page that show the same node, but not the same of it, both get the whole.
        self.at = at if self.placed or at == self.at else {}
        self.etag = asked.etag
        self.placed = False

    def same(self) -> None:
        """What the tab shows is current."""
        self.due, self.rewritten = True, False
        self.tab.mark(self)

    def changed(self) -> None:
        """The group shows something that the tab does not."""
        self.outdated = True
        self.tab.mark(self)

    def fail(self) -> None:
        """The tab can't be served for now."""
        self.stale = True
        self.tab.mark(self)

    def end(self, why: Why) -> None:
        """The node is not shown to this tab any more."""
        self.gone = why
        self.tab.mark(self)

    def frames(self) -> list[Frame]:
        """What the tab is told now."""
        if self.gone is not None:
            return [gone_frame(self.group.id, self.gone)]
        found: list[Frame] = []
        if self.outdated and (frame := self.group.frame(self)) is not None:
            if self.rewritten:
                found.append(rewritten_frame(self.group.id))
            found.append(frame)
            self.outdated = self.due = self.rewritten = False
            self._fit_token()
        elif self.due and not self.outdated:
            found.append(same_frame(self.group.id, self.at))
            self.due = False
        if self._renewed:
            found.append(token_frame(self.group.id, self.token.sign()))
            self._renewed = False
        if self.stale:
            found.append(stale_frame(self.group.id))
            self.stale = False
        return found

    def renew(self) -> None:
        """Give the tab another token, where the one that it has is half as old as it may be."""
        if time.time() - self.token.issued > settings.LIVE_TOKEN_AGE / 2:
            self._issue(self.token.keys, self.token.code)
            self.tab.mark(self)

    def _fit_token(self) -> None:
        """What is painted may be of other state, or of other code, than what the tab has a token for."""
        painted = self.group.painted
        assert painted is not None
        if self.token.keys != painted.keys or self.token.code != painted.code:
            self._issue(painted.keys, painted.code)

    def _issue(self, keys: tuple[str, ...], code: str) -> None:
        self.token = NodeToken(self.token.spec, self.token.audience, keys, issue_time(), code)
        self._renewed = True
