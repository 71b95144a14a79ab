"""The value before anything was written."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Annotated, Any, Final, Union, get_args, get_origin

from via_state.core.project_code import contained, is_failure
from via_state.declarations.problems import Problem
from via_state.runtime.pure_functions import pure_functions_only

#: Stands for "no default was given": None is a value.
MISSING: Final[Any] = object()

_ATOMS = (bool, int, float, str, bytes, type(None))


def make_initial(value_type: Any, default: Any) -> Callable[[], Any]:
    """A function that makes the initial value, a new one each time: nobody's change reaches another's.

    Raises `DeclarationError` when it can't be made.
    """
    make = _contained(_maker(value_type) if default is MISSING else _repeater(default))
    try:
        make()
    except Exception as error:
        what = f"{_name(value_type)}()" if default is MISSING else "the default"
        raise Problem(
            "E007",
            f"Its initial value can't be made: {what} raised {type(error).__name__}: {error}.",
            "Give default=, a value or a function without arguments.",
        ).error() from error
    return make


def _contained(make: Callable[[], Any]) -> Callable[[], Any]:
    """The same, held to be pure. What would end the thread that calls it is an error like any other."""

    def initial() -> Any:
        try:
            with pure_functions_only():
                return make()
        except BaseException as error:
            if isinstance(error, Exception) or not is_failure(error):
                raise
            raise contained(error, "The function that makes the initial value") from error

    return initial


def _maker(value_type: Any) -> Callable[[], Any]:
    if get_origin(value_type) is Annotated:
        return _maker(get_args(value_type)[0])
    if hasattr(value_type, "__value__"):  # type Items = list[str]
        return _maker(value_type.__value__)
    make = get_origin(value_type) or value_type
    if make in (Union, types.UnionType) or not isinstance(make, type):
        hint = "default=None, or another value" if type(None) in get_args(value_type) else "default=, a value"
        raise Problem(
            "E007",
            f"Its initial value can't be made: {_name(value_type)} is not a class to call.",
            f"Give {hint} or a function without arguments.",
        ).error()
    return make


def _repeater(default: Any) -> Callable[[], Any]:
    if callable(default):
        make: Callable[[], Any] = default
        return make
    if isinstance(default, _ATOMS):
        return lambda: default
    return lambda: copy.deepcopy(default)


def _name(value_type: Any) -> str:
    return value_type.__name__ if type(value_type) is type else str(value_type)
