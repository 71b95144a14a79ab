"""One value per signed-in user."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from via_state.declarations.cell import Address, Cell
from via_state.declarations.keys import escape
from via_state.declarations.owners import Owner
from via_state.exceptions import NotBound, UserRequired
from via_state.runtime.loop import refuse_in_event_loop

if TYPE_CHECKING:
    from via_state.declarations.owners import User

T = TypeVar("T")


class StateUser(Cell[T], Generic[T]):
    """``theme = StateUser(str, default="auto")``: used as ``Feed(request).theme``.

    Anonymous visitors read the zero value; writing raises `UserRequired`.
    """

    scope: ClassVar[str] = "user"

    def _address(self, verb: str, *, writes: bool) -> Address[T] | None:
        owner = self._bound()
        refuse_in_event_loop(verb, f"a{verb}")
        return self._address_of(owner.user(), writes)

    async def _aaddress(self, *, writes: bool) -> Address[T] | None:
        return self._address_of(await self._bound().auser(), writes)

    def _bound(self) -> Owner:
        if self._owner is None:
            name = self.definition.name
            raise NotBound(
                f"{self} belongs to a user: say to which. Write {self.definition.state_name}(request).{name}, "
                "or pass a scope or a user."
            )
        return self._owner

    def _address_of(self, user: User | None, writes: bool) -> Address[T] | None:
        key, spec = self._one_key(), self.definition.spec()
        if user is not None and user.is_authenticated and user.pk is not None:
            return Address(f"via.user.{escape(user.pk)}.{key}", spec)
        if writes:
            raise UserRequired(f"{self}: an anonymous visitor has no user state. Ask user.is_authenticated first.")
        return None
