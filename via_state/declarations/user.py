"""`StateUser`: one value per signed-in user."""

from __future__ import annotations

from typing import TypeVar

from via_state.declarations.cells import CellDeclaration, Place
from via_state.declarations.keys import Parameter, user_key
from via_state.exceptions import UserRequired

T = TypeVar("T")


class StateUser(CellDeclaration[T]):
    """``theme = StateUser(str, default="auto")``: one current value per user, in all the user's sessions.

    Bind it: ``Feed(request).theme.read()``, or ``Feed(user).theme``. An anonymous visitor reads the zero value and
    can't write (`UserRequired`).
    """

    kind = "user value"

    @property
    def shared_declaration(self) -> bool:
        return True

    def _place(self, *, write: bool) -> Place[T] | None:
        return self._at(self._bound_owner().user_pk(), write)

    async def _aplace(self, *, write: bool) -> Place[T] | None:
        return self._at(await self._bound_owner().auser_pk(), write)

    def _at(self, pk: Parameter | None, write: bool) -> Place[T] | None:
        if pk is not None:
            return Place(user_key(pk, self.key), self.spec)
        if write:
            raise UserRequired(
                f"{self} can't be written for an anonymous visitor. Ask user.is_authenticated first."
            )
        return None
