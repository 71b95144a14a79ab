"""Catches folds that are not pure, while the project is developed."""

from __future__ import annotations

import copy
from typing import Any, Generic, NamedTuple, TypeVar

from via_state.core.fidelity import difference
from via_state.core.project_code import is_failure
from via_state.core.text import named, reason

V = TypeVar("V")


class _Given(NamedTuple):
    """A value that readers have, and what it was when they got it."""

    value: Any
    copy: Any


class Verifier(Generic[V]):
    """Folds each event twice, on separate copies, and watches the values that were handed out.

    ``found`` is the first fault, for people; None as long as there is none.
    """

    __slots__ = ("_given", "found")

    def __init__(self) -> None:
        self.found: str | None = None
        self._given: _Given | None = None  # replaced as a whole: readers in other threads look at it

    def fold(self, event: Any, value: V) -> V:
        """The new value. Raises what the fold raises."""
        first, second = copy.deepcopy(value), copy.deepcopy(value)
        result: V = event.fold(first)
        again: V = event.fold(second)
        if self.found is None:
            name = f"{type(event).__name__}.fold"
            if difference(value, first, strict=True):
                self.found = f"{name} changed the value it was given, which others read: {_pair(value, first)}"
            elif difference(result, again, strict=True):
                self.found = f"{name} gave two results for one event and one value: {_pair(result, again)}"
        return result

    def give(self, value: V) -> None:
        """Watch a value that readers get from now on."""
        if self._given is not None and self._given.value is value:
            return
        try:
            self._given = _Given(value, copy.deepcopy(value))
        except BaseException as error:
            if not is_failure(error):
                raise
            if self.found is None:
                self.found = f"its value can't be copied: {reason(error)}"
            self._given = None

    def taken(self, value: V) -> V:
        """The value that was given, or a clean copy of it when a reader has changed it. From any thread."""
        given = self._given
        if given is None or value is not given.value or not difference(given.copy, value, strict=True):
            return value
        if self.found is None:
            self.found = f"a reader changed the value that it was handed out: {_pair(given.copy, value)}"
        clean: V = copy.deepcopy(given.copy)
        return clean


def _pair(one: object, other: object) -> str:
    return f"{named(one)} and then {named(other)}"
