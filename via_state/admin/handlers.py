"""Event handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from via_state.admin.filters import HALTED, STUCK
from via_state.admin.lags import Place, lags_of, place_of
from via_state.admin.readonly import ReadOnlyAdmin
from via_state.models import EventHandler, HandlerPosition
from via_state.operations.handlers import declared, positions_of

#: Keys are counted so far; the lag is added up for handlers with no more keys than this.
COUNTED, SUMMED = 1_000, 20
#: Columns of a position that a lag is told by.
NEEDED = ("handler", "key", "epoch", "offset")


@admin.register(EventHandler)
class HandlerAdmin(ReadOnlyAdmin):
    list_display = ("name", "template", "in_code", "keys", "stuck", "halted", "lag", "behind_since")
    list_per_page = 25
    list_max_show_all = 25
    ordering = ("template", "name")
    search_fields = ("name", "template")
    search_help_text = "A handler or a declaration, or how it begins."
    fields = (
        "name",
        "template",
        "in_code",
        "start",
        "atomic",
        "limit",
        "max_attempts",
        "registered_at",
        "positions_link",
    )
    readonly_fields = ("in_code", "limit", "positions_link")

    @admin.display(description="gives up after")
    def limit(self, row: EventHandler) -> str:
        return "-" if row.give_up_after is None else f"{row.give_up_after:g} s"

    def prepare(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        code = declared()
        some = {row.pk: list(positions_of(row).only(*NEEDED)[: SUMMED + 1]) for row in rows}
        summed = [one for few in some.values() if len(few) <= SUMMED for one in few]
        begun = {one.handler_id for few in some.values() for one in few}
        plain = {row.pk: Place(row.template) for row in rows if row.pk not in begun and _is_plain(row, code)}
        lags = lags_of([*map(place_of, summed), *plain.values()])
        for row in rows:
            row.counts = (
                _count(row),
                _count(row, STUCK),
                _count(row, HALTED),
            )
            few = some[row.pk]
            row.total = _lag(few, lags) if few else _unbegun(plain.get(row.pk), lags)
            first = positions_of(row).filter(stuck_since__isnull=False).order_by("stuck_since")
            row.since = first.values_list("stuck_since", flat=True).first()

    @admin.display(description="declared")
    def in_code(self, row: EventHandler) -> str:
        return "in this code" if (row.template, row.name) in declared() else "not declared any more"

    @admin.display(description="keys")
    def keys(self, row: Any) -> str:
        return self._link(row, row.counts[0])

    @admin.display(description="stuck keys")
    def stuck(self, row: Any) -> str:
        return self._link(row, row.counts[1], "stuck")

    @admin.display(description="halted keys")
    def halted(self, row: Any) -> str:
        return self._link(row, row.counts[2], "halted")

    @admin.display(description="lag (events)")
    def lag(self, row: Any) -> str:
        return row.total if isinstance(row.total, str) else f"{row.total:,}"

    @admin.display(description="stuck since")
    def behind_since(self, row: Any) -> Any:
        return row.since

    @admin.display(description="positions")
    def positions_link(self, row: EventHandler) -> str:
        return format_html('<a href="{}">All its positions</a>', self._url(row))

    def _url(self, row: EventHandler, state: str = "") -> str:
        url = reverse(f"{self.admin_site.name}:via_state_handlerposition_changelist")
        return f"{url}?of={row.pk}" + (f"&state={state}" if state else "")

    def _link(self, row: EventHandler, count: int, state: str = "") -> str:
        text = f"{count:,}" if count <= COUNTED else f"more than {COUNTED:,}"
        bad = "via-bad" if state and count else ""
        return format_html('<a class="{}" href="{}">{}</a>', bad, self._url(row, state), text)


def _count(row: EventHandler, which: Q | None = None) -> int:
    rows = positions_of(row)
    found: int = (rows if which is None else rows.filter(which))[: COUNTED + 1].count()
    return found


def _is_plain(row: EventHandler, code: Any) -> bool:
    log, _ = code.get((row.template, row.name), (None, None))
    return log is not None and not log.spec.family


def _lag(few: list[HandlerPosition], lags: dict[Place, int]) -> int | str:
    if len(few) > SUMMED:
        return "see its positions"
    found = [lags.get(place_of(one)) for one in few]
    return sum(one or 0 for one in found) if None not in found else "unknown"


def _unbegun(place: Place | None, lags: dict[Place, int]) -> int | str:
    """It has no position yet: everything that is there is before it."""
    return 0 if place is None else lags.get(place, "unknown")
