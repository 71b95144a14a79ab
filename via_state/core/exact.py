"""Classes whose objects are stored without being read back as proof: the types of the values show that nothing can be lost."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import msgspec

from via_state.core.fidelity import field_names

inspect = msgspec.inspect

#: Types of fields whose values JSON gives back as they were, where a value is of exactly that type.
_NODES: dict[Any, type] = {
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.BoolType: bool,
    inspect.NoneType: type(None),
}
#: Combinations of types that are remembered for a class.
MOST_TYPES = 100
#: Integers and floats up to here are read back the same. Not those that are not finite.
_LIMIT = 2.0**63


def exact(cls: type[Any]) -> Callable[[Any], bool] | None:
    """What tells, quickly, that an object of exactly this class loses nothing; None where only reading it back can tell.

    False means that it has to be read back. That holds for a Struct or a dataclass which is read as it is declared, field by field: its
    fields are texts, numbers, booleans and None without any condition, and no code of the project runs when it is read.
    """
    if not _is_plain(cls):
        return None
    info: Any = inspect.type_info(cls)
    names = field_names(cls) or ()
    kinds = [_kinds(field.type) for field in info.fields]
    if [field.name for field in info.fields] != list(names) or not all(kinds):
        return None
    return _Exact(cls, names, [kind for kind in kinds if kind]) if names or _has_dict(cls) else _nothing_to_lose


def _nothing_to_lose(_: Any) -> bool:
    """Of a class without fields."""
    return True


class _Exact:
    """``_known``: the combinations of types that were met, each with the places of its numbers; None for one that is not allowed."""

    def __init__(self, cls: type[Any], names: tuple[str, ...], kinds: list[frozenset[type]]) -> None:
        self._kinds = kinds
        self._values = _getter(names)
        self._size = len(names) if _has_dict(cls) else None
        self._known: dict[tuple[type, ...], tuple[int, ...] | None] = {}

    def __call__(self, event: Any) -> bool:
        values = self._values(event)
        types = tuple(map(type, values))
        numbers = self._known.get(types, ())
        if not numbers and types not in self._known:
            numbers = self._learn(types)
        if numbers is None or (self._size is not None and len(vars(event)) != self._size):
            return False
        for index in numbers:
            if not -_LIMIT < values[index] < _LIMIT and not _is_finite(values[index]):
                return False
        return True

    def _learn(self, types: tuple[type, ...]) -> tuple[int, ...] | None:
        sound = all(kind in kinds for kind, kinds in zip(types, self._kinds, strict=True))
        numbers = tuple(index for index, kind in enumerate(types) if kind in (int, float)) if sound else None
        if len(self._known) < MOST_TYPES:
            self._known[types] = numbers
        return numbers


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of all fields."""
    if not names:
        return lambda event: ()
    get = operator.attrgetter(*names)
    return (lambda event: (get(event),)) if len(names) == 1 else get


def _is_finite(value: float) -> bool:
    """A float beyond the limit may be sound, an integer is not looked at."""
    return type(value) is float and value - value == 0.0


def _kinds(node: Any) -> frozenset[type] | None:
    """The types of the values of a field; None where that is not all."""
    if isinstance(node, inspect.UnionType):
        found = [_kinds(one) for one in node.types]
        return frozenset(kind for one in found if one for kind in one) if all(found) else None
    kind = _NODES.get(type(node))
    # A node's other attributes are conditions: the smallest, the longest, a pattern.
    conditions = [getattr(node, name) for name in getattr(node, "__struct_fields__", ())]
    return None if kind is None or any(one is not None for one in conditions) else frozenset({kind})


def _has_dict(cls: type[Any]) -> bool:
    """Whether its objects may have attributes that are not declared."""
    return cls.__dictoffset__ != 0


def _is_plain(cls: type[Any]) -> bool:
    """Whether an object is stored and read as its fields say."""
    if any("__getattribute__" in vars(base) for base in cls.__mro__[:-1]) or hasattr(cls, "__post_init__"):
        return False
    if issubclass(cls, msgspec.Struct):
        return not cls.__struct_config__.dict
    if not dataclasses.is_dataclass(cls):
        return False
    fields = dataclasses.fields(cls)
    stored = [vars(base).get(one.name) for one in fields for base in cls.__mro__]
    return all(one.init and not one.name.startswith("_") for one in fields) and not any(
        hasattr(type(one), "__set__") and type(one) is not _SLOT for one in stored
    )


class _Slotted:
    __slots__ = ("slot",)


_SLOT = type(vars(_Slotted)["slot"])
