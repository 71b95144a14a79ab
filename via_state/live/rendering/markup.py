"""Names of elements and attributes that live places may have: none that runs a script."""

from __future__ import annotations

import re

from via_state.exceptions import DeclarationError

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_ATTRIBUTE = re.compile(r"(?!on|srcdoc$|style$|data-via)[a-z_][a-z0-9_:.-]*", re.IGNORECASE)
#: Attributes whose value may be an address that runs a script.
_ADDRESS = re.compile(r"(href|src|action|data|to|from|values)$", re.IGNORECASE)


def refuse_attribute(name: str) -> None:
    """Raise `DeclarationError` for an attribute that no value may be put into."""
    if not _ATTRIBUTE.fullmatch(name):
        raise DeclarationError(f"via_attr: to={name!r} is not an attribute that a value may be put into.")


def tag_name(tag: str) -> str:
    """The name of an element. Raises `DeclarationError` for what is none."""
    if not _TAG.fullmatch(tag) or tag.lower() in ("script", "style"):
        raise DeclarationError(f"tag={tag!r} is not an element that a live place may be.")
    return str.__str__(tag)


def runs(name: str, value: str) -> bool:
    """Whether an attribute with this value could run a script, as the client decides it."""
    squeezed = re.sub(r"[\0- ]", "", value)
    return bool(_ADDRESS.search(name)) and squeezed.lower().startswith("javascript:")
