"""What the type of a value is, and whether msgspec can store it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from via_state.declarations.problems import Problem

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def folded_type(events: Sequence[type[Any]]) -> Any:
    """The type that all these events fold: the annotation of fold's first parameter after ``self``.

    Raises `DeclarationError` when it can't be told, or when they do not agree.
    """
    first, *others = events
    found = _fold_annotation(first)
    for other in others:
        if (differs := _fold_annotation(other)) != found:
            raise Problem(
                "E006",
                f"{first.__name__} folds {found!r} and {other.__name__} folds {differs!r}.",
                "All events of a log fold one value: annotate the first parameter of each fold alike, or write value=.",
            ).error()
    return found


def _fold_annotation(event: type[Any]) -> Any:
    fold: Any = event.fold
    try:
        # Since Python 3.14 the signature evaluates the annotations, too.
        parameters = [one for one in inspect.signature(fold).parameters.values() if one.kind in _POSITIONAL]
        hints = typing.get_type_hints(fold, localns={event.__name__: event}, include_extras=True)
    except Exception as error:
        raise Problem(
            "E005",
            f"The annotations of {event.__name__}.fold do not resolve: {error}.",
            "Import the type at run time, outside of TYPE_CHECKING and of functions, or write value=.",
        ).error() from error
    if len(parameters) < 2:
        raise Problem(
            "E005", f"{event.__name__}.fold does not take a value.", "Write: def fold(self, value: V) -> V."
        ).error()
    found = hints.get(parameters[1].name)
    if found is None or found is Any or found is object or isinstance(found, typing.TypeVar):
        raise Problem(
            "E005",
            f"{event.__name__}.fold does not say what it folds.",
            f"Annotate its first parameter after self, {parameters[1].name!r}, or write value=.",
        ).error()
    return found


def refuse_undecodable(stored: Any, what: str) -> None:
    """Raise `DeclarationError` when msgspec can't decode the type, wherever the obstacle is nested.

    msgspec itself notices an unknown class only when it meets a value of it.
    """
    hint = "Use builtins, dataclasses, msgspec Structs, attrs classes, enums, dates, Decimals or UUIDs."
    try:
        info = msgspec.inspect.type_info(stored)
    except Exception as error:
        raise Problem("E008", f"{what} can't be stored: {error}.", hint).error() from error
    for node in parts_of(info):
        if isinstance(node, msgspec.inspect.CustomType):
            raise Problem("E008", f"{what} can't be stored: it holds a {node.cls!r}.", hint).error()


def parts_of(info: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """A type and all types inside it, each once."""
    return _nodes(info, set())


def _nodes(node: Any, seen: set[int]) -> Iterator[msgspec.inspect.Type]:
    """All parts of a type, each once: types may be recursive."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, msgspec.inspect.Type):
        yield node
    if isinstance(node, tuple | list):
        for part in node:
            yield from _nodes(part, seen)
    elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
        for name in node.__struct_fields__:
            if name not in ("default", "default_factory", "cls"):
                yield from _nodes(getattr(node, name), seen)
