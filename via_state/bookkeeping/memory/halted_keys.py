"""Halted keys of the pods of one process."""

from __future__ import annotations

from collections.abc import Mapping

from via_state.bookkeeping.halted_keys import HaltedKeyStore, HaltReport


class MemoryHaltedKeys(HaltedKeyStore):
    """``of`` are the lists, by pod."""

    def __init__(self) -> None:
        self.of: dict[str, Mapping[str, HaltReport]] = {}

    async def change(self, pod: str, before: Mapping[str, HaltReport], now: Mapping[str, HaltReport]) -> None:
        self.of.pop(pod, None)
        if now:
            self.of[pod] = now
