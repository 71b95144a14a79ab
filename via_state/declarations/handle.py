"""What users hold: a descriptor on a `State` class, by which its state is addressed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, NoReturn, Self, TypeVar

from via_state.core.specs import CellSpec, LogSpec
from via_state.declarations.definition import Definition
from via_state.declarations.group import Declared, Group
from via_state.declarations.keys import KeyTemplate, Parameter
from via_state.declarations.scope import Scope
from via_state.pod.default import current_pod

if TYPE_CHECKING:
    from via_state.declarations.owners import Owner
    from via_state.pod.pod import Pod

S = TypeVar("S", bound=LogSpec[Any] | CellSpec[Any])


#: The verbs that a template may call.
READS = frozenset({"read", "aread", "changes", "status", "astatus", "text"})


def live_text(handle: Handle[Any]) -> str:
    """What `Handle.text` gives. The app sets it when Django has started: live pages stand on declarations."""
    raise RuntimeError("Add 'via_state' to INSTALLED_APPS.")


class Handle(Declared, Generic[S]):
    """Reading it from the class gives the declaration itself; `at`, `using` and ``Feed(request)`` give copies of it,
    bound to a member of a family, a pod, an owner. All copies share one `Definition`.
    """

    scope: ClassVar[Scope]
    #: What sets the value, for the message to somebody who assigns to the declaration.
    setter: ClassVar[str] = "set"

    def __init__(self, definition: Definition[S]) -> None:
        self.definition = definition
        self._member: str | None = None
        self._owner: Owner | None = None
        self._pod: Pod | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Close every method that is not known to read to templates, which call what they name without asking."""
        super().__init_subclass__(**options)
        for name, method in vars(cls).items():
            if inspect.isfunction(method) and not name.startswith("_") and name not in READS:
                vars(method).setdefault("alters_data", True)

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.definition.name and issubclass(owner, Group):
            self.definition.state, self.definition.name = owner, name

    def __get__(self, instance: Group | None, owner: type | None = None) -> Self:
        return self if instance is None else self._copy(_owner=instance._owner)

    def __set__(self, instance: object, value: Never) -> NoReturn:
        self.refuse_assignment()

    def __delete__(self, instance: object) -> NoReturn:
        self.refuse_assignment()

    def refuse_assignment(self) -> NoReturn:
        """Raise AttributeError with the verb that was meant."""
        owner = "(request)" if self.scope.owner else ""
        raise AttributeError(
            f"{self} is a declaration, which stays as it is. To change its state, write "
            f"{self.definition.state_name}{owner}.{self.definition.name}.{self.setter}(...)."
        )

    def is_declared_as(self, owner: type, name: str) -> bool:
        """False for an object that was declared elsewhere and assigned here."""
        return self.definition.state is owner and self.definition.name == name

    def declared_again(self) -> Self:
        """The same declaration for another class."""
        return self._copy(definition=self.definition.copy())

    def _copy(self, **changes: Any) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    @property
    def key(self) -> str:
        """The wire key; a family's template until `at` says which member.

        Keys of session and user state begin, on the wire, with a prefix that names the owner; this is the rest.
        """
        return self.definition.template().text if self._member is None else self._member

    def at(self, **parameters: Parameter) -> Self:
        """One member of a family: ``Feed.room.at(room=7)``. Raises `InvalidKey`."""
        return self._copy(_member=self.definition.template().fill(parameters))

    def parse(self, key: str) -> dict[str, str]:
        """The parameters of a key, as text: ``Feed.room.parse("room.7") == {"room": "7"}``. Raises `InvalidKey`.

        Those of a whole wire key, as ``delivery.key`` is one, also name its owner: ``{"user": "7"}``.
        """
        wire = self.definition.wire()
        return wire.parse(key) if wire.reads(key) else self.definition.template().parse(key)

    def using(self, pod: Pod) -> Self:
        """The same state as another pod sees it, as ``QuerySet.using`` does with databases."""
        return self._copy(_pod=pod)

    def text(self) -> str:
        """The value as a live text of a page: ``{{ Counter.total.text }}`` in a template is ``{% via_text Counter.total %}``.

        State of a session or a user must be bound to the request.
        """
        return live_text(self)

    def _one_key(self) -> str:
        """The key of one piece of state. Raises `InvalidKey` for a family without its parameters."""
        if self._member is not None:
            return self._member
        template = self.definition.template()
        return template.fill({}) if template.family else template.text

    def _usable_template(self) -> KeyTemplate:
        """The key as declared. Raises `DeclarationError` for a declaration that can't work, as every verb does."""
        self.definition.spec()
        return self.definition.template()

    def _on(self) -> Pod:
        return current_pod() if self._pod is None else self._pod

    def __str__(self) -> str:
        return str(self.definition)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"
