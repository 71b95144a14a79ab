"""The keys that are halted on a pod, so that a command and the admin see them, wherever they run: the port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

#: Seconds for which a row counts that is not renewed: its pod died.
LEASE = 120.0


class HaltReport(NamedTuple):
    """Why a key is halted, or is no longer snapshotted."""

    reason: str
    text: str
    offset: int


class HaltedKeyStore(ABC):
    """The lists of all pods."""

    @abstractmethod
    async def change(self, pod: str, before: Mapping[str, HaltReport], now: Mapping[str, HaltReport]) -> None:
        """Replace what a pod has listed, and renew the rest. Raises `BackplaneUnavailable`."""
