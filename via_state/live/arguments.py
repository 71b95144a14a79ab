"""Arguments of a fragment: their types, and their form in a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.utils.functional import Promise

from via_state.live.node import Scalar

#: Bytes of all arguments of a node, as JSON.
MOST = 1024
_WIDEST = 2**63


class Kind(NamedTuple):
    """A type that an argument may have. ``read`` makes a value of what a template or a token has, or raises ValueError or TypeError."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Scalar]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    number = int(value)
    if not -_WIDEST <= number < _WIDEST:
        raise ValueError
    return number


def _text(value: Any) -> str:
    if isinstance(value, Promise):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str.__str__(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _uuid(value: Any) -> UUID:
    if not isinstance(value, UUID | str):
        raise TypeError
    return value if isinstance(value, UUID) else UUID(value)


def _date(value: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(value)


def _same(value: Scalar) -> Scalar:
    return value


#: What an argument may be.
KINDS: Mapping[Any, Kind] = {
    int: Kind(_whole, _same),
    str: Kind(_text, _same),
    bool: Kind(_truth, _same),
    UUID: Kind(_uuid, str),
    date: Kind(_date, date.isoformat),
}


def size_of(arguments: Mapping[str, Scalar]) -> int:
    """Bytes that the arguments take in a token."""
    return len(msgspec.json.encode(arguments))
