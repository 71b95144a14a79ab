"""What definitions and handles know of the class that they are declared in."""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from via_state.declarations.owners import Owner


class Declared:
    """The base of `Handle`: what a `Group` keeps from being replaced."""

    def refuse_assignment(self) -> NoReturn:
        """Raise AttributeError with the verb that was meant."""
        raise NotImplementedError


class GroupType(ABCMeta):
    """A declaration is made once, in the class's body: ``Feed.banner = "x"`` would replace it, and its state would be out of
    reach without a word.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        declared = cls._declared(name)
        if declared is not None:
            declared.refuse_assignment()
        if isinstance(value, Declared):
            raise AttributeError(
                f"{cls.__name__}.{name} is not declared: assigning comes too late for that. Write it in the body of the class."
            )
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        declared = cls._declared(name)
        if declared is not None:
            declared.refuse_assignment()
        super().__delattr__(name)

    def declare(cls, name: str, value: Declared) -> None:
        """Set a declaration, while the class is being made."""
        super().__setattr__(name, value)

    def _declared(cls, name: str) -> Declared | None:
        for base in cls.__mro__:
            if name in vars(base):
                value = vars(base)[name]
                return value if isinstance(value, Declared) else None
        return None


class Group(metaclass=GroupType):
    """The base of `State`: a class of declarations; an instance binds them to an owner."""

    _abstract: ClassVar[bool] = True
    _owner: Owner
