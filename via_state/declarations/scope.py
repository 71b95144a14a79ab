"""Whose state it is. A declaration is a shape, a current value or a log of events, in a scope: everybody's, a session's, a user's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from via_state.declarations.keys import KeyTemplate
from via_state.declarations.problems import Problem
from via_state.exceptions import InvalidKey

if TYPE_CHECKING:
    from via_state.declarations.handle import Handle


class Place(NamedTuple):
    """Where one piece of state is stored.

    ``ttl``: seconds after its last use when it is gone; None keeps it for ever. ``home``: what an owner's keys begin with;
    empty for state of everybody. ``written``: False where it is known that nothing was written there.
    """

    key: str
    ttl: float | None = None
    home: str = ""
    written: bool = True


class Scope(ABC):
    """What finds the place of a declaration's state for one request, one session or one user. There is one object of each kind."""

    #: "app", "session" or "user": keys collide only inside one.
    name: ClassVar[str]
    #: The parameters by which a wire key names its owner, and how such keys are written.
    owner: ClassVar[tuple[str, ...]] = ()
    begin: ClassVar[str] = ""

    @abstractmethod
    def place(self, handle: Handle[Any], verb: str, *, writes: bool) -> Place | None:
        """Where it is; None where there is no session or user to have it and nobody writes.

        ``verb`` is what the caller called, for the message when an event loop is running.
        """

    @abstractmethod
    async def aplace(self, handle: Handle[Any], *, writes: bool) -> Place | None:
        """`place`, awaited."""

    def appended(self, handle: Handle[Any], place: Place) -> None:  # noqa: B027 - most have nothing to do
        """After an append to a log. Raises `SessionEnded` where the owner had gone before it."""

    async def aappended(self, handle: Handle[Any], place: Place) -> None:  # noqa: B027
        """`appended`, awaited."""

    def split(self, key: str) -> tuple[Mapping[str, str], str] | None:
        """A wire key as its owner's parameters and the key as it was declared; None for a key of another scope."""
        return {}, key


class AppScope(Scope):
    """State of everybody."""

    name = "app"

    def place(self, handle: Handle[Any], verb: str, *, writes: bool) -> Place:
        return Place(handle._one_key())

    async def aplace(self, handle: Handle[Any], *, writes: bool) -> Place:
        return Place(handle._one_key())


APP = AppScope()


class WireTemplate:
    """The wire keys of one declaration: its own template after what names the owner."""

    def __init__(self, scope: Scope, template: KeyTemplate) -> None:
        self._scope, self._template = scope, template
        self.text = scope.begin + template.text
        if taken := set(scope.owner) & set(template.parameters):
            raise Problem(
                "E002",
                f"The key {template.text!r} has a parameter {min(taken)!r}, which names the owner of such a log.",
                "Give the parameter another name.",
            ).error()

    @property
    def family(self) -> bool:
        """True when one declaration has many keys."""
        return self._template.family or bool(self._scope.owner)

    def reads(self, key: str) -> bool:
        """Whether it is one of this declaration's keys."""
        found = self._scope.split(key)
        return found is not None and self._template.reads(found[1])

    def parse(self, key: str) -> dict[str, str]:
        """The parameters of one of its keys, those of the owner first. Raises `InvalidKey` for another key."""
        found = self._scope.split(key)
        if found is None:
            raise InvalidKey(
                f"{key!r:.80} is not a key of {self.text!r}. Pass a whole wire key, as delivery.key is one."
            )
        return {**found[0], **self._template.parse(found[1])}
