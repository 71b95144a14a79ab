"""What definitions and handles know of the class that they are declared in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from via_state.declarations.owners import Owner


class Group:
    """The base of `State`: a class of declarations; an instance binds them to an owner."""

    _abstract: ClassVar[bool] = True
    _owner: Owner
