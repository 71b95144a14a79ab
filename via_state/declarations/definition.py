"""What a declaration declares: found once, used by all its handles, read by the system checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from via_state.core.specs import CellSpec, LogSpec
from via_state.declarations.group import Group
from via_state.declarations.keys import KeyTemplate
from via_state.declarations.problems import Problem, problem_of
from via_state.declarations.registry import label_of, registry
from via_state.declarations.scope import Scope, WireTemplate
from via_state.exceptions import DeclarationError

S = TypeVar("S", bound=LogSpec[Any] | CellSpec[Any])


class Definition(ABC, Generic[S]):
    """A name, a key and types. Resolved on first use, not at import: the types may be defined later than it."""

    def __init__(self, kind: str, scope: Scope, key: str | None) -> None:
        #: Its class's name, for messages.
        self.kind = kind
        #: Keys collide only inside one.
        self.scope = scope
        self.explicit_key = key
        self.state: type[Group] | None = None
        self.name = ""
        self._template: KeyTemplate | None = None
        self._wire: WireTemplate | None = None
        self._spec: S | None = None
        self._usable = False

    @abstractmethod
    def copy(self) -> Self:
        """The same definition, unresolved and without a name, for another class."""

    @abstractmethod
    def _make_spec(self) -> S:
        """Resolve the types. Raises `DeclarationError` with a `Problem`."""

    @abstractmethod
    def agreement(self) -> tuple[object, ...]:
        """What definitions must have in common to share a key. Two kinds never have it."""

    def template(self) -> KeyTemplate:
        """The key, parsed. Raises `DeclarationError`."""
        if self.state is None:
            raise DeclarationError(f"{self} works only as an attribute of a class that inherits State.")
        if self._template is None:
            with self._naming_itself():
                key: object = self.explicit_key
                if key is not None and not isinstance(key, str):
                    raise Problem("E002", f"key= is {key!r}.", "Give a string, as in key='room.{room}'.").error()
                self._template = KeyTemplate(self.name.lower() if self.explicit_key is None else self.explicit_key)
        return self._template

    def wire(self) -> WireTemplate:
        """The keys as they are stored, which name their owner. Raises `DeclarationError`."""
        if self._wire is None:
            with self._naming_itself():
                self._wire = WireTemplate(self.scope, self.template())
        return self._wire

    def built(self) -> S:
        """The types, resolved. Raises `DeclarationError`."""
        if self._spec is None:
            with self._naming_itself():
                self._spec = self._make_spec()
        return self._spec

    def spec(self) -> S:
        """What the pod needs to know. Raises `DeclarationError` with what the system checks say."""
        if not self._usable:
            self.template()
            if self.state is not None and self.state._abstract:
                raise DeclarationError(f"{self} belongs to an abstract class. Use it by a subclass.")
            self.built()
            for problem in self.collisions(registry.definitions()):
                raise problem._replace(where=str(self)).error()
            self._usable = True
        return self.built()

    def problem(self) -> Problem | None:
        """What is wrong with it by itself, or None."""
        try:
            self.template()
            self.built()
        except DeclarationError as error:
            return problem_of(error)
        return None

    def collisions(self, others: Iterable[Definition[Any]]) -> Iterator[Problem]:
        """What is wrong with it in the company of others."""
        for other in others:
            if other is not self and (problem := self._collision(other)) is not None:
                yield problem

    def _collision(self, other: Definition[Any]) -> Problem | None:
        try:
            if self.scope is not other.scope or not self.template().overlaps(other.template()):
                return None
            agree = self.agreement() == other.agreement()
        except DeclarationError:
            return None  # one of them has a problem of its own
        if agree and self.explicit_key is not None and other.explicit_key is not None:
            return None
        mine, theirs = self.template().text, other.template().text
        also = "" if mine == theirs else f", {theirs!r}"
        if agree:
            hint = "Give one of them another key=; to share the state, write key= on both."
            return Problem("E001", f"Its key {mine!r} is also a key of {other}{also}.", hint)
        return Problem(
            "E001",
            f"Its key {mine!r} is also a key of {other}{also}, which differs in kind, type or initial value.",
            "Give one of them another key=.",
        )

    @contextmanager
    def _naming_itself(self) -> Iterator[None]:
        try:
            yield
        except DeclarationError as error:
            raise problem_of(error)._replace(where=str(self)).error() from error.__cause__

    @property
    def state_name(self) -> str:
        """The class it is declared in, as messages show how to write it."""
        return "State" if self.state is None else self.state.__name__

    def __str__(self) -> str:
        return f"A {self.kind}" if self.state is None else f"{label_of(self.state)}.{self.name}"
