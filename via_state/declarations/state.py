"""`State`: the class that a project's ``state.py`` fills with declarations."""

from __future__ import annotations

from typing import Any, ClassVar

from via_state.declarations.base import Declaration
from via_state.declarations.owners import Owner
from via_state.declarations.registry import registry


class State:
    """A group of declarations.

    ``class Feed(State): items = StateAppEvents(AddItem)`` declares; ``Feed.items.read()`` uses. ``Feed(request)`` binds
    session and user state to the visitor: to a request, a WebSocket's scope, a session, or a user.
    ``class Base(State, abstract=True)`` gives each subclass declarations of its own.
    """

    #: Django's templates call what is callable; a class is meant by ``{{ Feed.items.read }}``.
    do_not_call_in_templates: ClassVar[bool] = True
    abstract: ClassVar[bool] = True

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.abstract = abstract
        if abstract:
            return
        for base in cls.__mro__[1:]:
            if getattr(base, "abstract", False):
                for name, value in vars(base).items():
                    if isinstance(value, Declaration) and name not in vars(cls):
                        setattr(cls, name, value.for_state(cls))
        registry.add(cls)

    def __init__(self, owner: object) -> None:
        self.owner = Owner.of(owner)

    @classmethod
    def declarations(cls) -> dict[str, Declaration]:
        """The declarations by field name, inherited ones included."""
        found: dict[str, Declaration] = {}
        for base in reversed(cls.__mro__):
            found.update({name: value for name, value in vars(base).items() if isinstance(value, Declaration)})
        return found
