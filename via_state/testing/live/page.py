"""What frames do to a page: the same as the client script does."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from via_state.live.protocol.delta import Delta, apply
from via_state.live.protocol.vector import Order, Place, compare
from via_state.testing.live.dom import Element, parse


class Sent(NamedTuple):
    """A frame as the tab got it: kind "t", "h", "d", "=", "s", "k", "r" or "x"."""

    id: str
    at: dict[str, Any]
    kind: str
    rest: list[Any]


class Node:
    """A live place of the page."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.token = element.attributes["data-via"]
        self.id = element.attributes["data-via-id"]
        self.at: dict[str, Any] = json.loads(element.attributes.get("data-via-at", "{}"))
        self.html: str | None = None
        self.etag = ""
        self.gone = ""

    def vector(self) -> dict[str, Place]:
        """Where the state is that it shows."""
        return {key: Place(*place) for key, place in self.at.items()}

    def asked(self) -> list[Any]:
        """What the server is asked for it."""
        return [self.token, self.at, self.etag] if self.etag else [self.token, self.at]


class PaintedPage:
    """The elements of a page, and its live places. What it asks the server for goes through `say`."""

    def __init__(self) -> None:
        self.page = Element("#root", {})
        self.nodes: list[Node] = []
        self.frames: list[Sent] = []

    def say(self, **message: Any) -> None:
        """A line of the protocol, to the server."""
        raise NotImplementedError

    def load_page(self, html: str) -> None:
        """Show a page as the server made it."""
        self.page = parse(html)
        self.nodes = [Node(one) for one in self.page.all() if one.attributes.get("data-via")]

    def text(self, selector: str) -> str:
        """The text of the first element that fits: ``tag``, ``#id``, ``.class``, ``[attribute=value]``, or these after a tag; spaces mean inside."""
        found = self.page.find(selector)
        assert found, f"{selector!r} is not on the page:\n{self.page}"
        return found[0].text

    def take(self, frame: Sent) -> None:
        """Do to the page what a frame says."""
        self.frames.append(frame)
        for node in [one for one in self.nodes if one.id == frame.id and not one.gone]:
            self._news(node, frame)

    def _news(self, node: Node, frame: Sent) -> None:
        attributes = node.element.attributes
        if frame.kind == "r":
            node.at = {}
        elif frame.kind == "s":
            attributes["data-via-stale"] = ""
        elif frame.kind == "k":
            node.token = attributes["data-via"] = frame.rest[0]
        elif frame.kind == "x":
            node.gone = attributes["data-via-gone"] = frame.rest[0]
            node.element.children = []
        elif frame.kind in "thd=":
            here = {key: Place(*place) for key, place in frame.at.items()}
            order = compare(node.vector(), here)
            assert order is not Order.AHEAD, f"The server went back: {node.at} was shown, and {frame} came."
            self._paint(node, frame)

    def _paint(self, node: Node, frame: Sent) -> None:
        rest = frame.rest
        if frame.kind == "d":
            base, head, tail, middle, etag = rest
            if node.html is None or node.etag != base:
                self.say(add=[[node.token, {}]])
                return
            rest = [apply(node.html, Delta(head, tail, middle)), etag]
        node.at = frame.at
        node.element.attributes.pop("data-via-stale", None)
        node.element.attributes["data-via-at"] = json.dumps(frame.at)
        if frame.kind in "hd":
            node.html, node.etag = rest
            self.fill_in(node.element, parse(rest[0]))
        elif frame.kind == "t":
            to = node.element.attributes.get("data-via-to", "text")
            if to == "text":
                node.element.children = [rest[0]]
            elif rest[0] is None:
                node.element.attributes.pop(to, None)
            else:
                node.element.attributes[to] = rest[0]

    def fill_in(self, place: Element, content: Element) -> None:
        """An element's new children. Nodes in it that the page has already keep what they show; the others are asked for."""
        before = {one.id: one for one in self.nodes if one.element in list(place.all())}
        place.children = content.children
        fresh = []
        for element in place.all():
            if not element.attributes.get("data-via"):
                continue
            old = before.pop(element.attributes["data-via-id"], None)
            if old is None:
                self.nodes.append(Node(element))
                fresh.append(self.nodes[-1])
            else:
                element.children, kept = old.element.children, old.element.attributes
                element.attributes.update({name: kept[name] for name in kept if name.startswith("data-via")})
                old.element = element
        if fresh:
            self.say(add=[one.asked() for one in fresh])
        if before:
            self.nodes = [one for one in self.nodes if one not in before.values()]
            self.say(drop=list(before))
