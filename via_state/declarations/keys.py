"""Keys as declared: templates with parameters, and the injective text of a parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias
from urllib.parse import unquote_to_bytes
from uuid import UUID

from via_state.declarations.problems import Problem
from via_state.exceptions import InvalidKey

Parameter: TypeAlias = str | int | UUID

#: Keys of ours begin with it; no declared key may.
RESERVED = "via"

MAX_TEMPLATE = 256  # characters
MAX_MEMBER = 400  # characters: every backplane takes 512, and an owner's prefix comes before it

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9_-]*")
#: Texts that stay as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
#: The texts that `escape` makes.
_ESCAPED = r"(?:~|(?:[A-Za-z0-9_-]|~[0-9A-F]{2})+)"


def escape(value: Parameter) -> str:
    """The text of a parameter in a key. Different texts stay different, and none contains a dot.

    ``[A-Za-z0-9_-]`` pass, every other byte of the UTF-8 form becomes ``~XX``, the empty text ``~``.
    Raises `InvalidKey` for types that have no stable text.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise InvalidKey(f"{value!r} is a {type(value).__name__}. Pass a string, an integer or a UUID.")
    # The text itself, also of an enum's member, whose str() may be something else.
    text = str.__str__(value) if isinstance(value, str) else str(int(value) if isinstance(value, int) else value)
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey(
            f"{text!r} is not Unicode text ({error.reason}). Pass text that UTF-8 can carry."
        ) from None
    return "".join(chr(byte) if byte in _SAFE else f"~{byte:02X}" for byte in raw) or "~"


def unescape(text: str) -> str:
    """The text of a parameter that `escape` made ``text`` of. Raises ValueError for what it never makes."""
    if _PLAIN.fullmatch(text):
        return text
    value = "" if text == "~" else unquote_to_bytes(text.replace("~", "%")).decode()
    if escape(value) != text:
        raise ValueError(f"{text!r} is not the escaped form of a text.")
    return value


@dataclass(frozen=True)
class _Word:
    """What stands between two dots: a literal, or a parameter between two literals."""

    prefix: str
    parameter: str | None = None
    suffix: str = ""

    def can_read(self, text: str) -> bool:
        """Whether some parameter makes this word read ``text``."""
        if self.parameter is None:
            return self.prefix == text
        return re.fullmatch(self.pattern, text) is not None

    @property
    def pattern(self) -> str:
        """What it reads, as a regular expression with a group for the parameter. `unescape` refuses some of that."""
        if self.parameter is None:
            return re.escape(self.prefix)
        return f"{re.escape(self.prefix)}({_ESCAPED}){re.escape(self.suffix)}"

    def overlaps(self, other: _Word) -> bool:
        """Whether some text can be read by both."""
        if self.parameter is None:
            return other.can_read(self.prefix)
        if other.parameter is None:
            return self.can_read(other.prefix)
        starts = self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        ends = self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix)
        return starts and ends


class KeyTemplate:
    """A declared key: words joined by dots, with ``{parameters}`` in a family's. Raises `DeclarationError`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._words = [_parse(word, text) for word in text.split(".")]
        self.parameters = tuple(word.parameter for word in self._words if word.parameter is not None)
        if len(text) > MAX_TEMPLATE:
            raise _bad(text, f"is longer than {MAX_TEMPLATE} characters", "Write a shorter key=.")
        if len(set(self.parameters)) < len(self.parameters):
            raise _bad(text, "uses a parameter twice", "Give each parameter a name of its own.")
        if self._words[0].can_read(RESERVED):
            hint = "Begin it with a word of its own, as in 'site.{site}'."
            raise _bad(text, f"can have {RESERVED!r} as its first word, which is reserved", hint)

    @cached_property
    def family(self) -> bool:
        """True when one declaration has many keys."""
        return bool(self.parameters)

    def fill(self, values: Mapping[str, Parameter]) -> str:
        """The key of one member of the family. Raises `InvalidKey`."""
        if not self.family:
            raise InvalidKey(f"The key {self.text!r} has no parameters: leave .at() out.")
        missing = [name for name in self.parameters if name not in values]
        unknown = [name for name in values if name not in self.parameters]
        if missing or unknown:
            wanted = ", ".join(f"{name}=…" for name in self.parameters)
            wrong = [f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown]
            raise InvalidKey(f"The key {self.text!r}: {', '.join(wrong)}. Write .at({wanted}).")
        words = []
        for word in self._words:
            if word.parameter is None:
                words.append(word.prefix)
                continue
            try:
                text = escape(values[word.parameter])
            except InvalidKey as error:
                raise InvalidKey(f"The key {self.text!r}, parameter {word.parameter}: {error}") from None
            words.append(word.prefix + text + word.suffix)
        key = ".".join(words)
        if len(key) > MAX_MEMBER:
            raise InvalidKey(
                f"The key {key[:40]!r}… has {len(key)} characters; at most {MAX_MEMBER} are possible."
            )
        return key

    def reads(self, key: str) -> bool:
        """Whether it is one of this declaration's keys."""
        return self._values(key) is not None

    def parse(self, key: str) -> dict[str, str]:
        """The parameters of one of its keys, as text: what `fill` made the key of. Raises `InvalidKey` for another key."""
        values = self._values(key)
        if values is None:
            raise InvalidKey(
                f"{key!r:.80} is not a key of {self.text!r}. Pass a whole wire key, as delivery.key is one."
            )
        return values

    def _values(self, key: str) -> dict[str, str] | None:
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        try:
            return dict(zip(self.parameters, map(unescape, found.groups()), strict=True))
        except ValueError:
            return None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(".").join(word.pattern for word in self._words))

    def overlaps(self, other: KeyTemplate) -> bool:
        """Whether some key belongs to both. Parameters never contain dots, so word stands against word."""
        return len(self._words) == len(other._words) and all(map(_Word.overlaps, self._words, other._words))


def _parse(word: str, template: str) -> _Word:
    pieces = _PARAMETER.split(word)  # literal, parameter, literal, parameter, …
    literals, parameters = pieces[::2], pieces[1::2]
    if not word:
        raise _bad(template, "has an empty word", "Join words by single dots, as in 'room.{room}'.")
    if len(parameters) > 1:
        raise _bad(template, f"is ambiguous in {word!r}", "Put a dot between two parameters.")
    for literal in literals:
        if not _LITERAL.fullmatch(literal):
            hint = "Set key= to words of ASCII letters, digits, '_' and '-', joined by dots, with {parameters}."
            raise _bad(template, f"has characters in {word!r} that a key can't have", hint)
    if not parameters:
        return _Word(word)
    if not parameters[0].isidentifier():
        raise _bad(
            template, f"has a parameter {parameters[0]!r}", "Name parameters like Python arguments: '{room}'."
        )
    return _Word(literals[0], parameters[0], literals[1])


def _bad(template: str, what: str, hint: str) -> Exception:
    return Problem("E002", f"The key {template!r} {what}.", hint).error()
