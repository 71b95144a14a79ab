"""Arguments of a fragment: their types, and their form in a token."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID

import msgspec
from django.utils.functional import Promise

from via_state.live.protocol.node import Scalar

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


class Argument(NamedTuple):
    """An argument of a fragment's function."""

    kind: Kind
    type: Any
    required: bool


def parameters_of(
    function: Callable[..., Any], shared: bool, problem: Callable[[str, str], Exception]
) -> dict[str, Argument]:
    """What a tag may give to a function, but for the visitor. Raises what ``problem`` makes of a message and a hint."""
    given = list(inspect.signature(function).parameters.values())
    if shared:
        if given and (given[0].name in ("visitor", "request") or "Visitor" in str(given[0].annotation)):
            raise problem(
                f"It is shared, and its function has the argument {given[0].name!r}.",
                "One render is for all: leave the argument out, or shared=True.",
            )
    elif not given or given[0].kind not in (given[0].POSITIONAL_ONLY, given[0].POSITIONAL_OR_KEYWORD):
        raise problem(
            "Its function has no argument for the visitor.",
            "Take the visitor first, as in def room(visitor, room: int); or write shared=True, if all see the same.",
        )
    else:
        del given[0]
    return {one.name: _argument(function, one, problem) for one in given}


def _argument(
    function: Callable[..., Any], parameter: inspect.Parameter, problem: Callable[[str, str], Exception]
) -> Argument:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        try:
            alone = SimpleNamespace(__annotations__={"it": annotation})  # that of the visitor may not be imported
            annotation = get_type_hints(alone, getattr(function, "__globals__", {}))["it"]
        except Exception:
            annotation = None
    named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    if not named or not isinstance(annotation, type) or annotation not in KINDS:
        raise problem(
            f"Its function's argument {parameter.name!r} has no type that a tag can give.",
            f"Annotate it with one of {', '.join(one.__name__ for one in KINDS)}.",
        )
    return Argument(KINDS[annotation], annotation, parameter.default is parameter.empty)


def size_of(arguments: Mapping[str, Scalar]) -> int:
    """Bytes that the arguments take in a token."""
    return len(msgspec.json.encode(arguments))
