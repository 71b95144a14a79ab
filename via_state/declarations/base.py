"""What all declarations share: a key, a family's parameters, the pod they are bound to."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from via_state.declarations.keys import KeyTemplate, Parameter
from via_state.exceptions import InvalidKey, NotBound
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod

if TYPE_CHECKING:
    from via_state.declarations.owners import Owner
    from via_state.declarations.state import State


class Declaration:
    """A field of a `State` class.

    A declaration is immutable: `at` and `using` give bound copies, and so does ``Feed(request).items``.
    """

    #: What a system check calls it.
    kind: ClassVar[str]
    do_not_call_in_templates = True

    def __init__(self, key: str | None) -> None:
        self.declared_key = key
        self.name = ""
        self.template = KeyTemplate(key or "")
        self.state: type[State] | None = None
        self._parameters: dict[str, Parameter] | None = None
        self._owner: Owner | None = None
        self._pod: Pod | None = None
        # Shared by all bound copies: what is found out once, after every state.py was imported.
        self._resolved: dict[str, Any] = {}

    def __set_name__(self, state: type[State], name: str) -> None:
        self.state, self.name = state, name
        if self.declared_key is None:
            self.template = KeyTemplate(name.lower())

    def __get__(self, instance: State | None, state: type[State]) -> Self:
        if instance is None:
            return self
        return self._bound(_owner=instance.owner)

    def __set__(self, instance: State, value: object) -> None:
        raise AttributeError(f"{self} can't be assigned to. Write: .set(value), .update(fn) or .append(event).")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __str__(self) -> str:
        return f"{self.state.__name__}.{self.name}" if self.state is not None else f"a {type(self).__name__}"

    def _bound(self, **attributes: Any) -> Self:
        bound = copy.copy(self)
        bound.__dict__.update(attributes)
        return bound

    def at(self, **parameters: Parameter) -> Self:
        """One member of a family: ``Feed.room.at(room=7)``. Strings, integers and UUIDs make keys; 7 and "7" the same."""
        self.template.fill(parameters)
        return self._bound(_parameters=parameters)

    def using(self, pod: Pod) -> Self:
        """The same state as ``pod`` sees it, instead of this process's own pod."""
        return self._bound(_pod=pod)

    @property
    def family(self) -> bool:
        """Whether one declaration has many keys."""
        return bool(self.template.parameters)

    @property
    def key(self) -> str:
        """The wire key. For session and user state: without its owner."""
        if self._parameters is None:
            if self.family:
                names = ", ".join(f"{name}=..." for name in self.template.parameters)
                raise InvalidKey(f"{self} is a family. Say which one: {self}.at({names})")
            return self.template.text
        return self.template.fill(self._parameters)

    def for_state(self, state: type[State]) -> Self:
        """The same declaration, as a field of another class."""
        bound = self._bound(_resolved={})
        bound.__set_name__(state, self.name)
        return bound

    def _bound_owner(self) -> Owner:
        if self._owner is None:
            name = self.state.__name__ if self.state is not None else "State"
            raise NotBound(f"{self} is a {self.kind}. Say whose: {name}(request).{self.name}")
        return self._owner

    def resolve(self) -> None:
        """Raise `DeclarationError` if this declaration can't work."""
        raise NotImplementedError

    def identity(self) -> object:
        """What two declarations of one key must agree on."""
        raise NotImplementedError

    @property
    def pod(self) -> Pod:
        """The pod whose view this is."""
        return self._pod if self._pod is not None else current_pod()
