"""The part of a block that changed, where all before and after it stayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Delta(NamedTuple):
    """The new text is the first ``head`` units of the base, ``middle``, and the last ``tail`` units of the base.

    Units are UTF-16 code units: what the client's JavaScript counts.
    """

    head: int
    tail: int
    middle: str


def difference(base: str, text: str) -> Delta:
    """What makes ``text`` of ``base``. Neither may have lone surrogates, see `plain`."""
    most = min(len(base), len(text))
    head = _longest(most, lambda size: base[:size] == text[:size])
    tail = _longest(most - head, lambda size: base[len(base) - size :] == text[len(text) - size :])
    middle = text[head : len(text) - tail]
    return Delta(_units(base[:head]), _units(base[len(base) - tail :]), middle)


def apply(base: str, delta: Delta) -> str:
    """The text that a delta makes of its base. Raises ValueError where it was made for another one."""
    units = base.encode("utf-16-le")
    head, tail = 2 * delta.head, len(units) - 2 * delta.tail
    if delta.head < 0 or delta.tail < 0 or head > tail:
        raise ValueError("The delta was made for another base.")
    return (units[:head] + delta.middle.encode("utf-16-le") + units[tail:]).decode("utf-16-le")


def plain(text: str) -> str:
    """The text as a frame can carry it: a real str, also of Django's SafeString, and U+FFFD for lone surrogates."""
    exact = str.__str__(text)
    try:
        exact.encode()
    except UnicodeEncodeError:
        return exact.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return exact


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """The highest size up to ``most`` that fits, where every smaller one does."""
    low = 0
    while low < most:
        middle = (low + most + 1) // 2
        if fits(middle):
            low = middle
        else:
            most = middle - 1
    return low


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
