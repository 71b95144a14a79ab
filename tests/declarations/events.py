"""Events that the tests declare: at module level, where annotations resolve."""

from __future__ import annotations

from dataclasses import dataclass

import attrs
import msgspec


@dataclass(frozen=True, slots=True)
class AddItem:
    text: str

    def fold(self, items: list[str]) -> list[str]:
        return [*items, self.text]


class Clear(msgspec.Struct, frozen=True):
    def fold(self, items: list[str]) -> list[str]:
        return []


@attrs.frozen
class Repeat:
    times: int

    def fold(self, items: list[str]) -> list[str]:
        return items * self.times


@dataclass(frozen=True)
class Tick:
    def fold(self, count: int) -> int:
        return count + 1


@dataclass(frozen=True)
class Mute:
    """An event that forgot its fold."""
