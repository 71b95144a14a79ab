"""Owners whose state waits to be erased."""

from __future__ import annotations

from django.contrib import admin

from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block, first_line
from via_state.models import OwnerErasure


@admin.register(OwnerErasure)
class ErasureAdmin(ReadOnlyAdmin):
    list_display = ("home", "asked_at", "attempts", "shown_error")
    ordering = ("-attempts", "-id")
    search_fields = ("home",)
    search_help_text = "What the owner's keys begin with, as via.user.7."
    fields = ("home", "shown_keys", "asked_at", "attempts", "full_error")
    readonly_fields = ("shown_keys", "full_error")

    @admin.display(description="keys")
    def shown_keys(self, row: OwnerErasure) -> str:
        return block("\n".join(map(str, row.keys)))

    @admin.display(description="last error")
    def shown_error(self, row: OwnerErasure) -> str:
        return first_line(row.last_error)

    @admin.display(description="last error")
    def full_error(self, row: OwnerErasure) -> str:
        return block(row.last_error)
