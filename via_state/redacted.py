"""What is secret, kept out of what is printed: messages, logs, tracebacks, the pages that show them."""

from __future__ import annotations


class Secret:
    """A password or a token. Call it for the text; whatever prints it shows none."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<a secret>"


def redacted(value: object) -> str:
    """The repr of a setting's value, without what may be the login in an address: all before the last ``@``."""
    text = repr(value)
    _, at, after = text.rpartition("@")
    return f"***{at}{after}" if at else text
