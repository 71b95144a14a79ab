"""Texts that somebody else wrote, made fit for a log line, a row and a terminal; and values, named without being shown."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import msgspec

LINE, TRACE = 2_000, 20_000  # characters
_JOINERS = "\u200c\u200d"  # of scripts and emoji; they move nothing
#: Whether values may be shown. The app says: where ``LOG_VALUES`` is set.
show_values: Callable[[], bool] = lambda: False  # noqa: E731 - a slot, not a function


def one_line(text: str, most: int = LINE) -> str:
    """A line of at most ``most`` characters. What would move a cursor, end the line or turn its direction is written out.

    The same for NUL and halves of surrogate pairs, which no database stores.
    """
    return _bounded(text if text.isprintable() else _written_out(text[: most + 1], ""), most)


def lines(text: str, most: int = TRACE) -> str:
    """The same for a text of several lines, as a traceback: of a longer one the end is kept."""
    text = text.replace("\r\n", "\n")[-most:]
    return _written_out(text, "\n\t")[-most:]


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown(text: str, most: int) -> str:
    """The beginning of a text of several lines, as `lines` gives the end."""
    return _written_out(text[:most], "\n\t")


def _written_out(text: str, kept: str) -> str:
    kept += _JOINERS
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text)


def error_line(error: BaseException) -> str:
    """An error in one line, even if its own text raises."""
    return one_line("".join(traceback.format_exception_only(error)).strip())


def error_trace(error: BaseException) -> str:
    """The end of an error's traceback."""
    return lines("".join(traceback.format_exception(error)))


class Quoting(str):
    """A text with what an error of the project says in it; ``plain`` is the same without that. Rows have the one, log lines the other."""

    __slots__ = ("plain",)
    plain: str

    def __new__(cls, text: str, plain: str) -> Quoting:
        made = super().__new__(cls, text)
        made.plain = plain
        return made


def around(before: str, text: str, after: str = "") -> str:
    """A text with another one in it; it quotes where that one does."""
    whole = f"{before}{text}{after}"
    return Quoting(whole, f"{before}{text.plain}{after}") if isinstance(text, Quoting) else whole


def quoted(error: BaseException, most: int) -> Quoting:
    """What an error of the project says, in one line."""
    return Quoting(error_line(error)[:most], type(error).__name__)


def named(value: object) -> str:
    """A value in a message for people: its type; the value itself only where values may be shown."""
    if show_values():
        return one_line(_representation(value), 100)
    size = f" of {len(value)} characters" if isinstance(value, str) else ""
    return f"a value of type {type(value).__name__}{size}"


def _representation(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # nested too deeply, or code of the project's: the message is about something else
        return f"<{type(value).__name__}, whose repr() raised {type(error).__name__}>"


def reason(error: BaseException) -> str:
    """Why a value was not encoded or decoded, without the value: msgspec's own texts name fields and types.

    What the project's classes raise, and what quotes a value, is named by its type and place.
    """
    text = str(error)
    if show_values():
        return one_line(text)
    if isinstance(error, UnicodeEncodeError):
        return error.reason
    if error.__cause__ is None and (isinstance(error, NoPlace) or text.startswith(_NAMING)):
        return one_line(text)
    _, at, path = text.rpartition(" - at `")
    where = one_line(f" at {path.rstrip('`')}") if at and isinstance(error, msgspec.ValidationError) else ""
    return f"{type(error.__cause__ or error).__name__} was raised{where} (LOG_VALUES shows its text)"


def shown_cause(error: BaseException | None) -> BaseException | None:
    """What an error of ours is raised from: a traceback shows the texts of causes as well."""
    return error if show_values() else None


class NoPlace(TypeError):
    """An object that JSON has no place for. Its text names a type and nothing else."""


#: How msgspec's texts begin that hold no value.
_NAMING = ("Expected `", "Object missing required field")
