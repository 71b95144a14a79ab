"""Nothing is noted where the state itself ends with the process: it is erased at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from via_state.bookkeeping.erasures import Erasure, ErasureStore


class NoErasures(ErasureStore):
    def note(self, home: str, keys: Sequence[str], using: str) -> bool:
        return False

    async def waiting(self) -> list[Erasure]:
        return []

    async def forget(self, key: str) -> None:
        """What is kept in memory about a log ends with the process."""

    async def keys(self, begin: str, after: str) -> list[str]:
        return []

    async def keep(self, done: Sequence[int], failed: Mapping[int, str]) -> None:
        """None is waiting."""
