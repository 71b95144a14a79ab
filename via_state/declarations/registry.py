"""All `State` classes of the project, in the order in which they were declared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from via_state.declarations.base import Declaration
    from via_state.declarations.state import State


class Registry:
    """Filled while ``state.py`` modules are imported. A class that is defined again replaces the former one."""

    def __init__(self) -> None:
        self._states: dict[str, type[State]] = {}

    def add(self, state: type[State]) -> None:
        self._states[f"{state.__module__}.{state.__qualname__}"] = state

    def __iter__(self) -> Iterator[type[State]]:
        return iter(list(self._states.values()))

    def declarations(self) -> list[Declaration]:
        """Every declaration once, however many classes inherit it."""
        found: dict[int, Declaration] = {}
        for state in self:
            found.update({id(one): one for one in state.declarations().values()})
        return list(found.values())

    @contextmanager
    def isolated(self) -> Iterator[Registry]:
        """Within the block the registry begins empty. For tests that declare states of their own."""
        before, self._states = self._states, {}
        try:
            yield self
        finally:
            self._states = before


registry = Registry()
