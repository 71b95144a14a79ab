"""One value for everybody."""

from __future__ import annotations

from typing import Generic, TypeVar

from via_state.declarations.cell import Address, Cell

T = TypeVar("T")


class StateApp(Cell[T], Generic[T]):
    """``banner = StateApp(str)``: one value, the same on every pod."""

    def _address(self, verb: str, *, writes: bool) -> Address[T]:
        return Address(self._one_key(), self.definition.spec())

    async def _aaddress(self, *, writes: bool) -> Address[T]:
        return Address(self._one_key(), self.definition.spec())
