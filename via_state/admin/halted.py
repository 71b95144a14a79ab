"""Keys whose projection is halted on a pod."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet

from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block, first_line
from via_state.models import HaltedKey
from via_state.operations.pages import current_halts


@admin.register(HaltedKey)
class HaltedAdmin(ReadOnlyAdmin):
    list_display = ("key", "reason", "offset", "shown_text", "host", "shown_pod", "since", "lease_until")
    ordering = ("-since", "-id")
    search_fields = ("key",)
    search_help_text = "A key, or how it begins."
    fields = ("key", "reason", "offset", "full_text", "host", "pod", "since", "lease_until")
    readonly_fields = ("full_text",)

    def own(self, rows: QuerySet[HaltedKey]) -> QuerySet[HaltedKey]:
        # A row that nobody renewed belongs to a pod that died.
        return current_halts(super().own(rows))

    @admin.display(description="why")
    def shown_text(self, row: HaltedKey) -> str:
        return first_line(row.text)

    @admin.display(description="pod")
    def shown_pod(self, row: HaltedKey) -> str:
        return row.pod[:8]

    @admin.display(description="why")
    def full_text(self, row: HaltedKey) -> str:
        return block(row.text)
