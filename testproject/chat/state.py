"""What was said in each room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

from django.contrib.auth.models import User

from via_state import State, StateAppEvents, StatePresence, live

#: Lines that a room remembers.
REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the screen; a ``note`` says what somebody did instead of what they said."""

    author: str
    text: str
    note: bool = False

    @property
    def hue(self) -> int:
        """Which of eight colours stands for its author."""
        return crc32(self.author.encode()) % 8


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
    here = StatePresence(key="room.{room}.here")


@live.fragment("chat/_lines.html", shared=True)
def lines(room: str) -> dict[str, Any]:
    """What was said in a room: everybody sees the same, so one render is for all of them."""
    return {"lines": Chat.room.at(room=room).read()}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has the room's page open."""

    name: str
    away: bool
    hue: int


@live.fragment("chat/_here.html", shared=True)
def people(room: str) -> dict[str, Any]:
    """Who is in a room now. Visitors who are not signed in are told apart by a colour."""
    members = Chat.here.at(room=room).read()
    names = dict(
        User.objects.filter(pk__in=[one.user for one in members if one.user]).values_list("pk", "username")
    )
    named = {str(pk): name for pk, name in names.items()}
    return {
        "people": [Person(named.get(one.user, "visitor"), one.away, crc32(one.id.encode()) % 8) for one in members]
    }
