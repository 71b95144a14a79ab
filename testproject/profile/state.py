"""What a visitor said about themselves, for as long as their session lasts."""

from __future__ import annotations

from dataclasses import dataclass

from via_state import State, StateSess


@dataclass(frozen=True, slots=True)
class Profile:
    """``name`` is empty until the visitor gives one."""

    name: str = ""

    def __str__(self) -> str:
        return self.name or "guest"


class Visitor(State):
    profile = StateSess(Profile, key="profile")
