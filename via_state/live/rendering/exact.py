"""Values that say exactly the same, down to their types: whatever a template makes of one, it makes of the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec


class NotExact(TypeError):
    """A value that may show more than can be compared here, such as a model's instance."""


def exactly(value: object) -> Hashable:
    """Equal only where two values are of the same types and contents: 1, 1.0 and True differ, and so do 1.0 and 1.00 as decimals.

    Raises `NotExact`, and RecursionError for what holds itself.
    """
    if isinstance(value, str) and type(value) is str:
        return value
    kind = type(value)
    if (read := _readers.get(kind)) is None:
        read = _readers[kind] = _reader(kind)
    return kind, read(value)


#: By type. As many as rows of templates have.
_readers: dict[type, Callable[[Any], Hashable]] = {}


def _reader(kind: type) -> Callable[[Any], Hashable]:
    if kind in (int, bool, bytes, type(None)):
        return _itself
    if kind in (float, Decimal, UUID, date, datetime, time, timedelta):
        return repr
    if kind in (list, tuple, set, frozenset):
        return lambda value: tuple(map(exactly, value))
    if kind is dict:
        return lambda value: tuple((exactly(key), exactly(one)) for key, one in value.items())
    if issubclass(kind, Enum):
        return lambda value: value.name
    if issubclass(kind, msgspec.Struct):
        return _attributes(kind.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return _attributes(tuple(field.name for field in dataclasses.fields(kind)))
    raise NotExact(kind.__qualname__)


def _itself(value: Hashable) -> Hashable:
    return value


def _attributes(names: tuple[str, ...]) -> Callable[[Any], Hashable]:
    def read(value: Any) -> Hashable:
        others: Mapping[str, Any] = getattr(value, "__dict__", {})
        if len(others) > len(names) or not others.keys() <= set(names):
            raise NotExact(f"{type(value).__qualname__} with attributes of its own")
        return tuple([exactly(getattr(value, name)) for name in names])

    return read
