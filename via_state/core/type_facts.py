"""What a declared type tells before there is a value of it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

inspect = msgspec.inspect

#: Types of which two equal values are stored alike. Not times: one whose zone has no offset equals one without a zone.
_TELLING = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.BytesType,
    inspect.DateType,
    inspect.DateTimeType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.DecimalType,
    inspect.LiteralType,
)
_PLAIN_EQUALITY = (object, str, int, float, Enum)


def equality_tells(cls: type[Any]) -> bool:
    """Whether two objects of a class whose fields are equal are stored alike: no field's ``==`` overlooks anything."""
    info: Any = inspect.type_info(cls)
    return all(_tells(field.type) for field in info.fields)


def _tells(node: Any) -> bool:
    if isinstance(node, inspect.Metadata):
        return _tells(node.type)
    if isinstance(node, inspect.EnumType):
        return not any("__eq__" in vars(base) for base in node.cls.__mro__ if base not in _PLAIN_EQUALITY)
    if isinstance(node, inspect.UnionType):
        return all(_tells(one) for one in node.types)
    if isinstance(node, inspect.ListType | inspect.SetType | inspect.FrozenSetType | inspect.VarTupleType):
        return _tells(node.item_type)
    if isinstance(node, inspect.TupleType):
        return all(_tells(one) for one in node.item_types)
    if isinstance(node, inspect.DictType):
        return _tells(node.key_type) and _tells(node.value_type)
    return isinstance(node, _TELLING)


def may_be_deeper(value_type: Any, levels: int) -> bool:
    """Whether values of a type may nest arrays and objects more than ``levels`` deep: it is recursive, or says nothing."""
    return _deeper(inspect.type_info(value_type), levels, ())


def _deeper(node: Any, levels: int, inside: tuple[int, ...]) -> bool:
    if isinstance(node, inspect.Metadata):
        return _deeper(node.type, levels, inside)
    if isinstance(node, inspect.AnyType | inspect.RawType | inspect.CustomType) or id(node) in inside:
        return True
    parts: list[Any] = []
    for name in ("item_type", "key_type", "value_type"):
        parts += [getattr(node, name)] if hasattr(node, name) else []
    for name in ("item_types", "types"):
        parts += getattr(node, name, ())
    parts += [field.type for field in getattr(node, "fields", ())]
    if not isinstance(node, inspect.UnionType) and (parts or hasattr(node, "fields")):
        levels -= 1
    return levels < 0 or any(_deeper(part, levels, (*inside, id(node))) for part in parts)
