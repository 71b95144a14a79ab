"""A script for tabs, which no text becomes by accident."""

from __future__ import annotations

import re
from typing import Any, LiteralString

import msgspec

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


class Script:
    """JavaScript that your program's source contains, and values for it::

        Script("confetti(count)", count=3)

    Never build the code from what somebody typed: give that as a value, which can't become code. Values are what JSON knows.
    """

    __slots__ = ("code",)

    def __init__(self, code: LiteralString, **values: Any) -> None:
        if not code.strip():
            raise ValueError("Script() takes JavaScript, and was given nothing.")
        for name in values:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is not the name of a JavaScript constant.")
        constants = "".join(
            f"const {name}={msgspec.json.encode(value).decode()};" for name, value in values.items()
        )
        self.code = f"{{{constants}{code}\n}}" if values else str(code)

    def __repr__(self) -> str:
        return f"Script({self.code!r:.80})"
