"""The state that the pods' tests use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from via_state import State, StateApp, StateAppEvents


@dataclass(frozen=True, slots=True)
class Add:
    """Appends its number."""

    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class Fragile:
    """Its fold raises for a negative number, until the test says otherwise."""

    number: int

    def fold(self, total: int) -> int:
        if self.number < 0 and not healed:
            raise ValueError("a negative number")
        return total + self.number


healed: list[bool] = []


class Board(State):
    numbers = StateAppEvents(Add, key="tests.numbers")
    fragile = StateAppEvents(Fragile, key="tests.fragile")
    room = StateAppEvents(Add, key="tests.room.{room}")
    hits = StateApp(int, key="tests.hits")
    names = StateApp(list[str], key="tests.names")
    flag = StateApp(bool, key="tests.flag.{name}")


async def eventually(condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
    """Return when ``condition()`` holds; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        await asyncio.sleep(0.005)
