"""Whether JSON gives back what was put in. What it can't carry is refused when it is written, not missed when it is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import msgspec

from via_state.core.text import NoPlace, named

_ATOMS = (str, int, float)


def field_names(cls: Any) -> tuple[str, ...] | None:
    """Names of the fields of a dataclass, msgspec.Struct or attrs class; None for anything else."""
    if not isinstance(cls, type):
        return None
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    if dataclasses.is_dataclass(cls):
        return tuple(one.name for one in dataclasses.fields(cls))
    attributes = getattr(cls, "__attrs_attrs__", None)
    return None if attributes is None else tuple(one.name for one in attributes)


def plain(value: Any) -> Any:
    """Encoder hook: a subclass of a builtin (Django's SafeString, an offset) is stored as that builtin."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise NoPlace(f"objects of type {type(value).__name__} have no place in JSON")


#: `field_names` of classes, remembered.
_names: Callable[[Any], tuple[str, ...] | None] = functools.lru_cache(1024)(field_names)
_ABSENT: Any = object()
_Part = tuple[str, Any, Any]


def difference(sent: Any, read: Any, where: str = "", *, strict: bool = False) -> str | None:
    """Say what of ``sent`` came back different as ``read``, None when nothing did.

    Field by field, whatever the classes' own equality looks at; times with a zone by their instant. A list for a tuple, or an
    int for a float, is the same; a missing NaN, a number that became text or an object that became a dict is not.
    ``strict``: types must be the same as well, but for subclasses of text and numbers.
    """
    left: list[_Part] = [(where, sent, read)]  # a loop, so that no depth is too much for the interpreter
    while left:
        where, sent, read = left.pop()
        kind = type(read)
        place = where.lstrip(".") or "it"
        if strict and type(sent) is not kind and not (kind in _ATOMS and isinstance(sent, kind)):
            return f"{place} is a {type(sent).__name__} and would come back as a {kind.__name__}"
        parts = _parts(where, sent, read)
        if parts is not None:
            left += reversed(parts)
        elif _zone_is_lost(sent, read):
            return f"the time zone of {place} would be lost"
        elif not _same(sent, read):
            return f"{place} is {named(sent)} and would come back as {named(read)}"
    return None


def _parts(where: str, sent: Any, read: Any) -> list[_Part] | None:
    """What both consist of, side by side; None for what has no parts, or not the same number of them."""
    names = _names(type(read))
    if names is not None:
        if type(sent) is not type(read):
            return None
        return [(f"{where}.{name}", getattr(sent, name, _ABSENT), getattr(read, name, _ABSENT)) for name in names]
    if isinstance(sent, dict) and isinstance(read, dict) and len(sent) == len(read):
        if sent.keys() == read.keys():
            return [(f"{where}[{named(key)}]", value, read[key]) for key, value in sent.items()]
        both = list(zip(sent.items(), read.items(), strict=True))  # their order is kept
        if any(difference(key, other) for (key, _), (other, _) in both):
            return None
        return [(f"{where}[{named(key)}]", value, other) for (key, value), (_, other) in both]
    if isinstance(sent, set | frozenset) and isinstance(read, set | frozenset) and len(sent) == len(read):
        try:
            pairs = zip(sorted(sent, key=_stored), sorted(read, key=_stored), strict=True)
        except (TypeError, msgspec.MsgspecError):
            return None
        return [(f"an item of {where.lstrip('.') or 'it'}", one, other) for one, other in pairs]
    if isinstance(sent, list | tuple) and isinstance(read, list | tuple) and len(sent) == len(read):
        pairs = zip(sent, read, strict=True)
        return [(f"{where}[{index}]", one, other) for index, (one, other) in enumerate(pairs)]
    return None


def _stored(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=plain, order="deterministic")


def _zone_is_lost(sent: Any, read: Any) -> bool:
    """A time of day in a zone whose offset depends on the date equals one without a zone."""
    times = isinstance(sent, time) and isinstance(read, time)
    return times and (sent.tzinfo is None) is not (read.tzinfo is None)


def _same(sent: Any, read: Any) -> bool:
    """Whether two values without parts are the same, by what is stored of them and not by what they say themselves."""
    if _names(type(sent)) is not None or _names(type(read)) is not None:
        return False
    if isinstance(sent, datetime) and isinstance(read, datetime):
        if (sent.utcoffset() is None) is not (read.utcoffset() is None):
            return False
        return not (sent - read)  # `==` denies times of the hours at which clocks are changed
    if isinstance(sent, Decimal) and isinstance(read, Decimal):
        return str(sent) == str(read)
    if isinstance(sent, str) and type(read) is str:
        return str.__eq__(sent, read)
    if isinstance(sent, float) and isinstance(read, float) and sent != sent:
        return read != read
    return sent is read or bool(sent == read)
