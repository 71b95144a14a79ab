"""State of one signed-in user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from via_state.declarations.accounts import home_of, split_home
from via_state.declarations.handle import Handle
from via_state.declarations.scope import Place, Scope
from via_state.exceptions import InvalidKey, NotBound, UserRequired
from via_state.pod import members
from via_state.runtime.loop import refuse_in_event_loop

if TYPE_CHECKING:
    from via_state.declarations.owners import Owner, User


class UserScope(Scope):
    """An anonymous visitor has no place."""

    name = "user"
    owner = ("user", "model")
    begin = "via.user.{user}."

    def place(self, handle: Handle[Any], verb: str, *, writes: bool) -> Place | None:
        owner = _bound(handle)
        refuse_in_event_loop(verb, f"a{verb}")
        key, template = handle._one_key(), handle._usable_template()
        home = _home(handle, owner.user(), writes)
        if home is None:
            return None
        if writes and template.family:
            members.remember(handle._on(), home, template.text, key, None)
        return Place(f"{home}.{key}", home=home)

    async def aplace(self, handle: Handle[Any], *, writes: bool) -> Place | None:
        owner = _bound(handle)
        key, template = handle._one_key(), handle._usable_template()
        home = _home(handle, await owner.auser(), writes)
        if home is None:
            return None
        if writes and template.family:
            await members.aremember(handle._on(), home, template.text, key, None)
        return Place(f"{home}.{key}", home=home)

    def split(self, key: str) -> tuple[Mapping[str, str], str] | None:
        return split_home(key)


USER = UserScope()


def _bound(handle: Handle[Any]) -> Owner:
    owner = handle._owner
    if owner is None:
        raise NotBound(
            f"{handle} belongs to a user: say to which. Write {handle.definition.state_name}(request).{handle.definition.name}, "
            "or pass a scope or a user."
        )
    return owner


def _home(handle: Handle[Any], user: User | None, writes: bool) -> str | None:
    try:
        home = home_of(user)
    except (UserRequired, InvalidKey) as error:
        raise type(error)(f"{handle}: {error}") from None
    if home is None and writes:
        raise UserRequired(f"{handle}: an anonymous visitor has no user state. Ask user.is_authenticated first.")
    return home
