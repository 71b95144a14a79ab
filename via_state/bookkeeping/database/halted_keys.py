"""Halted keys as rows. Their pods renew them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import leases, tables
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.halted_keys import LEASE, HaltedKeyStore, HaltReport

if TYPE_CHECKING:
    from via_state.models import HaltedKey


class RowHaltedKeys(OnThreads, HaltedKeyStore):
    WHAT = "list of halted keys"

    async def change(self, pod: str, before: Mapping[str, HaltReport], now: Mapping[str, HaltReport]) -> None:
        await self._run(_change, pod, before, now)


def current(rows: QuerySet[HaltedKey]) -> QuerySet[HaltedKey]:
    """Those of them whose pods live."""
    return leases.alive(rows)


def _change(pod: str, before: Mapping[str, HaltReport], now: Mapping[str, HaltReport]) -> None:
    rows = tables.halted_keys.rows()
    with tables.atomic():
        leases.forget(rows)
        rows.filter(pod=pod, key__in=[key for key, report in before.items() if now.get(key) != report]).delete()
        rows.filter(pod=pod).update(lease_until=leases.until(LEASE))
        tables.halted_keys.add(
            *(
                tables.halted_keys.new(
                    key=key,
                    pod=pod,
                    host=socket.gethostname()[:200],
                    reason=report.reason,
                    text=report.text,
                    offset=report.offset,
                    since=Now(),
                    lease_until=leases.until(LEASE),
                )
                for key, report in now.items()
                if before.get(key) != report
            )
        )
