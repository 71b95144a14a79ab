"""How deeply stored JSON may be nested: a fixed limit, far below those of interpreters, which differ from pod to pod."""

from __future__ import annotations

import re

#: Arrays and objects inside each other, in one event and in one cell.
MAX_LEVELS = 100
#: The same for a folded value, which may hold events.
MAX_VALUE_LEVELS = 2 * MAX_LEVELS

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def is_deeper(data: bytes, levels: int) -> bool:
    """Whether JSON nests arrays and objects more than ``levels`` deep."""
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    depth = 0
    for bracket in _TEXT.sub(b"", data).translate(None, _OTHERS):
        depth += 1 if bracket in b"[{" else -1
        if depth > levels:
            return True
    return False


def too_deep(levels: int = MAX_LEVELS) -> str:
    """What is wrong with such data, for people."""
    return f"it is nested more than {levels} levels deep"
