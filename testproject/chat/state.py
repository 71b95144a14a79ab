"""What was said in each room."""

from __future__ import annotations

from dataclasses import dataclass

from via_state import State, StateAppEvents

#: Lines that a room remembers.
REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the screen; a ``note`` says what somebody did instead of what they said."""

    author: str
    text: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """Somebody said something."""

    author: str
    text: str

    def fold(self, lines: list[Line]) -> list[Line]:
        return [*lines, Line(self.author, self.text)][-REMEMBERED:]


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody came in."""

    author: str

    def fold(self, lines: list[Line]) -> list[Line]:
        return [*lines, Line(self.author, "joined", note=True)][-REMEMBERED:]


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody went away."""

    author: str

    def fold(self, lines: list[Line]) -> list[Line]:
        return [*lines, Line(self.author, "left", note=True)][-REMEMBERED:]


class Chat(State):
    room = StateAppEvents(Posted, Joined, Left, key="room.{room}")
