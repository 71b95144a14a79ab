"""How much was done in each minute, as rows that all processes add to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_

from django.db.models import Case, F, IntegerField, Q, Value, When

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.threads import OnThreads
from via_state.bookkeeping.rates import Done, RateStore, What, this_minute

#: Minutes that are kept; rows that one statement changes, and that are read.
KEPT, AT_ONCE, READ = 120, 100, 2_000


class RowRates(OnThreads, RateStore):
    """Two statements for a hundred event handlers, outside of any transaction of others."""

    WHAT = "list of what was done"

    async def add(self, counted: Mapping[What, Done]) -> None:
        await self._run(_add, dict(counted))


def _add(counted: dict[What, Done]) -> None:
    rows = tables.rates.rows()
    rows.filter(minute__lt=this_minute() - KEPT).delete()
    every = sorted(counted.items())  # as all processes do: rows are locked in this order
    for first in range(0, len(every), AT_ONCE):
        some = every[first : first + AT_ONCE]
        tables.rates.add(*(tables.rates.new(**what._asdict()) for what, _ in some), keep=True)
        which = [(Q(**what._asdict()), done) for what, done in some]
        more = {
            column: F(column)
            + Case(
                *(When(one, then=Value(getattr(done, column))) for one, done in which),
                default=Value(0),
                output_field=IntegerField(),
            )
            for column in ("done", "failed")
        }
        rows.filter(reduce(or_, (one for one, _ in which))).update(**more)


def of_last(minutes: int) -> dict[What, Done]:
    """What was done in the last so many whole minutes, the newest first; of many event handlers, not all minutes."""
    rows = (
        tables.rates.rows()
        .filter(minute__gte=this_minute() - minutes, minute__lt=this_minute())
        .order_by("-minute")
    )
    columns = "minute", "template", "handler", "done", "failed"
    return {What(*row[:3]): Done(*row[3:]) for row in rows.values_list(*columns)[:READ]}
