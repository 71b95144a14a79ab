"""How much was done in each minute, of all processes together: the port."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple


class What(NamedTuple):
    """A minute, as Unix time / 60 by the clock of the process that counted; and whose: an event handler and its declared key, both empty
    for the events that were appended.
    """

    minute: int
    template: str = ""
    handler: str = ""


class Done(NamedTuple):
    """Events appended, or records delivered; and deliveries that failed."""

    done: int = 0
    failed: int = 0


def this_minute() -> int:
    """By the clock of this machine."""
    return int(time.time() // 60)


class RateStore(ABC):
    """Raises `BackplaneUnavailable` when it can't be reached."""

    @abstractmethod
    async def add(self, counted: Mapping[What, Done]) -> None:
        """Add what this process counted to what is there already."""
