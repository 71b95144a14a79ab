"""One value per signed-in user."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from via_state.declarations.accounts import home_of
from via_state.declarations.cell import Address, Cell
from via_state.declarations.owners import Owner
from via_state.exceptions import InvalidKey, NotBound, UserRequired
from via_state.pod import members
from via_state.runtime.loop import refuse_in_event_loop

if TYPE_CHECKING:
    from via_state.declarations.owners import User

T = TypeVar("T")


class StateUser(Cell[T], Generic[T]):
    """``theme = StateUser(str, default="auto")``: used as ``Feed(request).theme``.

    Anonymous visitors read the initial value; writing raises `UserRequired`.
    """

    scope: ClassVar[str] = "user"

    def _address(self, verb: str, *, writes: bool) -> Address[T] | None:
        owner = self._bound()
        refuse_in_event_loop(verb, f"a{verb}")
        key, spec = self._one_key(), self.definition.spec()
        home = self._home(owner.user(), writes)
        if home is None:
            return None
        if writes and self._member is not None:
            members.remember(self._on(), home, spec.name, key, None)
        return Address(f"{home}.{key}", spec)

    async def _aaddress(self, *, writes: bool) -> Address[T] | None:
        owner = self._bound()
        key, spec = self._one_key(), self.definition.spec()
        home = self._home(await owner.auser(), writes)
        if home is None:
            return None
        if writes and self._member is not None:
            await members.aremember(self._on(), home, spec.name, key, None)
        return Address(f"{home}.{key}", spec)

    def _bound(self) -> Owner:
        if self._owner is None:
            name = self.definition.name
            raise NotBound(
                f"{self} belongs to a user: say to which. Write {self.definition.state_name}(request).{name}, "
                "or pass a scope or a user."
            )
        return self._owner

    def _home(self, user: User | None, writes: bool) -> str | None:
        try:
            home = home_of(user)
        except (UserRequired, InvalidKey) as error:
            raise type(error)(f"{self}: {error}") from None
        if home is None and writes:
            raise UserRequired(f"{self}: an anonymous visitor has no user state. Ask user.is_authenticated first.")
        return home
