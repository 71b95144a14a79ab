"""The base of what users write in ``state.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from via_state.declarations.group import Group
from via_state.declarations.handle import Handle
from via_state.declarations.owners import owner_of
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError

if TYPE_CHECKING:
    from via_state.declarations.owners import OwnerSource


class State(Group):
    """A group of declared state, found by autodiscovery in the ``state.py`` of each installed app.

    ``Feed.items`` is state of everybody. ``Feed(request)`` binds an owner, which session and user state needs:
    an ``HttpRequest``, the ``scope`` of an ASGI connection, a session, or a user.

    ``class Base(State, abstract=True)`` declares for its subclasses: each concrete one gets state of its own.
    A subclass of a concrete class shares what it inherits.
    """

    #: ``{{ Feed.items.read }}`` works: Django's templates call a class otherwise.
    do_not_call_in_templates: ClassVar[bool] = True

    def __init__(self, of: OwnerSource, /) -> None:
        self._owner = owner_of(of, type(self).__name__)

    def __init_subclass__(cls, *, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._abstract = abstract
        if abstract:
            return
        for name, inherited in cls._left_by_abstract_bases().items():
            own = inherited.declared_again()
            own.__set_name__(cls, name)
            cls.declare(name, own)
        for name, handle in _handles(cls).items():
            if not handle.is_declared_as(cls, name):
                raise DeclarationError(
                    f"{cls.__name__}.{name} is the very object that {handle} is. Declare a new one; "
                    "to share the state, write the same key= on both."
                )
        registry.add(cls, [handle.definition for handle in _handles(cls).values()])

    @classmethod
    def _left_by_abstract_bases(cls) -> dict[str, Handle[Any]]:
        """What this class has to declare again, by name; nearer bases come first."""
        found: dict[str, Handle[Any]] = {}
        taken = set(vars(cls))
        for base in cls.__mro__[1:]:
            if issubclass(base, State) and base._abstract:
                found.update({name: handle for name, handle in _handles(base).items() if name not in taken})
            taken.update(vars(base))
        return found


def _handles(cls: type) -> dict[str, Handle[Any]]:
    return {name: value for name, value in vars(cls).items() if isinstance(value, Handle)}
