"""Erasures as rows: they outlive the process that deleted the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db.models import F

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.erasures import BATCH, Erasure, ErasureStore
from via_state.conf import settings
from via_state.runtime.database_errors import reaching


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

    async def settle(self, done: Sequence[int], failed: Mapping[int, str]) -> None:
        await self._run(_settle, done, failed)


def _waiting() -> list[Erasure]:
    rows = tables.erasures.rows().order_by("attempts", "id")[:BATCH]
    return [Erasure(row.pk, row.home, row.keys) for row in rows]


def _settle(done: Sequence[int], failed: Mapping[int, str]) -> None:
    tables.erasures.rows().filter(pk__in=done).delete()
    for pk, error in failed.items():
        tables.erasures.rows().filter(pk=pk).update(attempts=F("attempts") + 1, last_error=error[:1000])
