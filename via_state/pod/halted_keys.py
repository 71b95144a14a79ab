"""Keys that are halted on this pod, kept in sight of everybody."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from via_state.bookkeeping.halted_keys import LEASE, HaltedKeyStore, HaltReport
from via_state.core.projection import Unread

logger = logging.getLogger("via_state.pod")


def trouble_of(diverged: str | None, unread: Unread | None, offset: int) -> HaltReport | None:
    """What is wrong with a projection that is not halted."""
    if diverged is not None:
        return HaltReport("divergence", diverged, offset)
    if unread is None:
        return None
    text = f"{unread}, so the value lacks it and is not snapshotted: manage.py check --database names what can't be read"
    return HaltReport("unreadable", text, unread.offset)


class Haltable(Protocol):
    """A projector, as it is seen here."""

    key: str

    def halt_report(self) -> HaltReport | None:
        """What is wrong with it now."""


class HaltedKeys:
    """Keeps the list of one pod."""

    def __init__(self, pod_id: str, store: HaltedKeyStore) -> None:
        self._pod_id = pod_id
        self._store = store
        self._written: dict[str, HaltReport] = {}
        self._renew_at = 0.0

    async def update(self, projectors: Iterable[Haltable]) -> None:
        """Write what changed since the last time; renew the rest now and then. Raises `BackplaneUnavailable`: it is written the next time."""
        found = {one.key: report for one in projectors if (report := one.halt_report()) is not None}
        due = bool(found) and time.monotonic() >= self._renew_at
        if found == self._written and not due:
            return
        await self._store.change(self._pod_id, self._written, found)
        self._written, self._renew_at = found, time.monotonic() + LEASE / 4
