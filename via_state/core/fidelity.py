"""Whether JSON gives back what was put in. What it can't carry is refused when it is written, not missed when it is read."""

from __future__ import annotations

import dataclasses
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


def difference(sent: Any, read: Any, where: str = "", *, strict: bool = False) -> str | None:
    """Say what of ``sent`` came back different as ``read``, None when nothing did.

    A list for a tuple, or an int for a float, is the same; a missing NaN, a number that became text or an object that
    became a dict is not. ``strict``: types must be the same as well, but for subclasses of text and numbers.
    """
    if strict and type(sent) is not type(read) and not (type(read) in _ATOMS and isinstance(sent, type(read))):
        return f"{where.lstrip('.') or 'it'} is a {type(sent).__name__} and would come back as a {type(read).__name__}"
    names = field_names(type(read))
    parts: list[tuple[str, Any, Any]]
    if names is not None and type(sent) is type(read):
        parts = [(f"{where}.{name}", getattr(sent, name, None), getattr(read, name, None)) for name in names]
    elif isinstance(sent, dict) and isinstance(read, dict) and sent.keys() == read.keys():
        parts = [(f"{where}[{named(key)}]", value, read[key]) for key, value in sent.items()]
    elif isinstance(sent, list | tuple) and isinstance(read, list | tuple) and len(sent) == len(read):
        parts = [
            (f"{where}[{index}]", one, other) for index, (one, other) in enumerate(zip(sent, read, strict=True))
        ]
    elif sent == read:
        return None
    else:
        return f"{where.lstrip('.') or 'it'} is {named(sent)} and would come back as {named(read)}"
    found = (difference(one, other, where, strict=strict) for where, one, other in parts)
    return next((one for one in found if one), None)
