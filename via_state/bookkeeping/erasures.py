"""What is to be erased because its owner was deleted or has ended: the port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Owners between two looks at what waits.
BATCH = 100


class Erasure(NamedTuple):
    """The state at ``home``: ``keys``, and the members of families that are listed there."""

    id: int
    home: str
    keys: Sequence[str]


class ErasureStore(ABC):
    """Raises `BackplaneUnavailable` when it can't be reached."""

    @abstractmethod
    def note(self, home: str, keys: Sequence[str], using: str) -> bool:
        """Keep that an owner is to be erased, with the transaction of the database ``using``. On the caller's thread.

        False where nothing is kept with it: then it must be noted, or done, after its commit.
        """

    @abstractmethod
    async def waiting(self) -> list[Erasure]:
        """The next `BATCH`, those first that failed least often."""

    @abstractmethod
    async def forget(self, key: str) -> None:
        """Remove all that is kept about a log: snapshots, dead letters, positions of handlers, and what waits in the outbox."""

    @abstractmethod
    async def keys(self, begin: str, after: str) -> list[str]:
        """The next keys of logs, in order, that begin so and about which something is kept."""

    @abstractmethod
    async def keep(self, done: Sequence[int], failed: Mapping[int, str]) -> None:
        """Forget those that are done; keep why others failed."""
