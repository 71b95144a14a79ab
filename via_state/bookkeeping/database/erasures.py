"""Erasures as rows: they outlive the process that deleted the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import F, QuerySet

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.erasures import BATCH, Erasure, ErasureStore
from via_state.conf import settings
from via_state.runtime.database_errors import reaching

#: Rows that one statement removes, and keys that are looked at together.
PORTION, KEYS = 500, 1000


class RowErasures(OnThreads, ErasureStore):
    WHAT = "list of what is to be erased"

    def note(self, home: str, keys: Sequence[str], using: str) -> bool:
        if using != settings.DATABASE:
            return False
        with reaching(self.WHAT), tables.atomic():
            tables.erasures.create(home=home, keys=list(keys))
        return True

    async def waiting(self) -> list[Erasure]:
        return await self._run(_waiting)

    async def forget(self, key: str) -> None:
        await self._run(_forget, key)

    async def keys(self, begin: str, after: str) -> list[str]:
        return await self._run(_keys, begin, after)

    async def keep(self, done: Sequence[int], failed: Mapping[int, str]) -> None:
        await self._run(_keep, done, failed)


def _tables() -> list[QuerySet[Any]]:
    """The rows that are about one log each, of all logs."""
    positions = tables.positions.rows().filter(handler__prefix=settings.PREFIX)
    others = (tables.snapshots, tables.dead_letters, tables.halted_keys, tables.outbox)
    return [positions, *(table.rows() for table in others)]


def _forget(key: str) -> None:
    for rows in _tables():
        # Compared here as well: some databases compare text without regard to case.
        found = [pk for pk, other in rows.filter(key=key).values_list("pk", "key") if other == key]
        for start in range(0, len(found), PORTION):
            rows.filter(pk__in=found[start : start + PORTION]).delete()


def _keys(begin: str, after: str) -> list[str]:
    found: set[str] = set()
    for rows in _tables():
        some = rows.filter(key__startswith=begin, key__gt=after).order_by("key").values_list("key", flat=True)
        found.update(some.distinct()[:KEYS])
    return sorted(key for key in found if key.startswith(begin))[:KEYS]


def _waiting() -> list[Erasure]:
    rows = tables.erasures.rows().order_by("attempts", "id")[:BATCH]
    return [Erasure(row.pk, row.home, row.keys) for row in rows]


def _keep(done: Sequence[int], failed: Mapping[int, str]) -> None:
    tables.erasures.rows().filter(pk__in=done).delete()
    for pk, error in failed.items():
        tables.erasures.rows().filter(pk=pk).update(attempts=F("attempts") + 1, last_error=error[:1000])
