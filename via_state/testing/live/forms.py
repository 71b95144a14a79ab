"""Forms of a page: what a browser sends for one, and what the client script does with the answer to one that stays on the page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from via_state.live.rendering.written import ASKED
from via_state.testing.live.dom import Element, parse

#: Inputs that a browser sends only where they were pressed, checked or filled.
UNSENT = frozenset(("submit", "button", "reset", "image", "file"))
CHECKED = frozenset(("checkbox", "radio"))


class PageForm:
    """A form of the page at ``path``. ``stays``: it has ``data-via-form``, so that its answer is put in place."""

    def __init__(self, element: Element, path: str) -> None:
        self.element, self._path = element, path
        self.stays = "data-via-form" in element.attributes
        self.action = element.attributes.get("action") or path
        self.headers = {ASKED: "form"} if self.stays else {}

    def data(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What is sent: what the form holds, and these."""
        held: dict[str, list[str]] = {}
        for one in self.element.all():
            name = one.attributes.get("name")
            if name and "disabled" not in one.attributes:
                held.setdefault(name, []).extend(_values(one))
        return {**{name: values for name, values in held.items() if values}, **fields}

    def followed(self, response: Any) -> str:
        """The address that the answer leads to where that is this page; empty where it is another one, or none."""
        target = response.headers.get("Location", "") if self.stays else ""
        return target if urlsplit(target).path == self._path else ""

    def answer(self, response: Any, *, done: bool) -> Element | None:
        """The form as the answer to what was sent shows it; None where there is nothing to show. ``done``: it is the page after that.

        Raises `AssertionError` where the client script would say that it was not sent.
        """
        if not self.stays or response.status_code == 204 or 300 <= response.status_code < 400:
            return None
        id = self.element.attributes.get("id")
        found = parse(response.content.decode()).find(f"#{id}") if id else []
        assert found or done, (
            f"{self.action} answered {response.status_code}, and the page says that the form was not sent: "
            + (f"there is no #{id} in the answer." if id else "it has no id, by which the answer's form is found.")
        )
        return found[0] if found else None


def _values(one: Element) -> list[str]:
    if one.tag == "textarea":
        return ["".join(str(child) for child in one.children).removeprefix("\n")]
    if one.tag == "select":
        options = one.find("option")
        chosen = [option for option in options if "selected" in option.attributes]
        if not chosen and "multiple" not in one.attributes:
            chosen = options[:1]
        return [option.attributes.get("value", option.text) for option in chosen]
    kind = one.attributes.get("type", "text").lower()
    if one.tag != "input" or kind in UNSENT or (kind in CHECKED and "checked" not in one.attributes):
        return []
    return [one.attributes.get("value", "on" if kind in CHECKED else "")]
