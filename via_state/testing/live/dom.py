"""As much of a browser's document as tests of live pages need."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
RAW = frozenset(("script", "style"))


class Element:
    """An element with its children, which are elements and texts."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        """All text in it, with single spaces."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in RAW:
                yield from child._texts()

    def all(self) -> Iterator[Element]:
        """The elements in it, in their order."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.all()

    def find(self, selector: str) -> list[Element]:
        """Those that fit ``tag``, ``#id``, ``.class``, ``[attribute]``, ``[attribute=value]``, or these after a tag; spaces mean inside."""
        found = [self]
        for part in selector.split():
            found = [one for outer in found for one in outer.all() if _fits(one, part)]
        return list(dict.fromkeys(found))

    def __str__(self) -> str:
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in self.attributes.items())
        inner = "".join(escape(one, quote=False) if isinstance(one, str) else str(one) for one in self.children)
        return f"<{self.tag}{attributes}>" + ("" if self.tag in VOID else f"{inner}</{self.tag}>")


def _fits(element: Element, part: str) -> bool:
    for sign in "#.[":
        tag, found, name = part.partition(sign)
        if found:
            break
    if tag and element.tag != tag:
        return False
    if not found:
        return True
    if sign == "#":
        return element.attributes.get("id") == name
    if sign == ".":
        return name in element.attributes.get("class", "").split()
    attribute, equals, value = name.rstrip("]").partition("=")
    return attribute in element.attributes and (not equals or element.attributes[attribute] == value.strip("\"'"))


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("#root", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        for index in range(len(self._open) - 1, 0, -1):
            if self._open[index].tag == tag:
                del self._open[index:]
                break

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parse(html: str) -> Element:
    """The document, or the children of a block, under one root."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.root
