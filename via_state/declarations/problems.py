"""What is wrong with a declaration, in the words that both a system check and an exception use."""

from __future__ import annotations

from typing import NamedTuple

from via_state.exceptions import DeclarationError


class Problem(NamedTuple):
    """``id`` is the system check's, without the app label. ``hint`` says what to write instead.

    It travels as the only argument of a `DeclarationError`.
    """

    id: str
    message: str
    hint: str
    #: The declaration, once it is known.
    where: str = ""

    def error(self) -> DeclarationError:
        """The exception to raise."""
        return DeclarationError(self)

    def __str__(self) -> str:
        return f"{self.where}{': ' if self.where else ''}{self.message} {self.hint}"


def problem_of(error: DeclarationError, otherwise: str = "") -> Problem:
    """The problem that an error carries; an error without one gets the id ``otherwise``."""
    (cause,) = error.args
    if isinstance(cause, Problem):
        return cause
    message, _, hint = str(cause).partition(". ")
    return Problem(otherwise, message.removesuffix(".") + ".", hint)


def is_whole(number: object, least: int) -> bool:
    """Whether it is an integer from ``least``."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def refuse_bad_version(version: object) -> None:
    """Raise `DeclarationError` for what is not the version of a declaration: versions are compared and stored."""
    if not is_whole(version, 1):
        raise Problem("E014", f"version= is {version!r}.", "Give a whole number from 1.").error()
