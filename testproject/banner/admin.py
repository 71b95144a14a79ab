"""A notice to everybody: who adds one sends it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest

from testproject.banner.models import Notice
from via_state import live
from via_state.exceptions import BroadcastFailed


@admin.register(Notice)
class NoticeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The admin's log keeps who sent what. What was sent is not changed."""

    list_display = ("text", "level", "sent_at")
    fields = ("text", "level")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("banner.send_notice"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Notice, form: Any, change: bool) -> None:
        """It is said once the row, and the log's, are there."""
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: self._send(request, obj))

    def _send(self, request: HttpRequest, notice: Notice) -> None:
        try:
            tabs = live.broadcast_notify(notice.text, level=notice.level)  # type: ignore[arg-type]
        except BroadcastFailed as error:
            self.message_user(request, str(error), messages.WARNING)
        else:
            self.message_user(request, f"Sent. {tabs} tabs of this process show it, and those of all others.")
