"""`StateApp`: one value for everybody."""

from __future__ import annotations

from typing import TypeVar

from via_state.declarations.cells import CellDeclaration, Place

T = TypeVar("T")


class StateApp(CellDeclaration[T]):
    """``banner = StateApp(str)``: one current value that every process sees. For low churn: settings, flags, texts.

    ``default``: the value before the first write, or a function that makes it; otherwise the type called without
    arguments. ``key``: the wire key, or a family's template (``banner.{site}``). ``version``: raise it when the type
    changes in a way that older code must not overwrite.
    """

    kind = "value"

    def _place(self, *, write: bool) -> Place[T]:
        return Place(self.key, self.spec)

    async def _aplace(self, *, write: bool) -> Place[T]:
        return Place(self.key, self.spec)
