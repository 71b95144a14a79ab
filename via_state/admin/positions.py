"""Where event handlers stand in each log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from via_state.admin import blocked_records
from via_state.admin.confirmation import Question, confirmation
from via_state.admin.filters import PositionHandlerFilter, PositionStatusFilter
from via_state.admin.keys import shown_parameters
from via_state.admin.position_status import statuses
from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block, first_line, moment
from via_state.bookkeeping.positions import AWAY, BLOCKED
from via_state.models import HandlerPosition
from via_state.operations.pages import of_handlers

EXPLANATION = (
    "Each of these records becomes a dead letter of its event handler, which continues with the record after it as "
    "soon as its pause is over. The handler is not called for it again, unless somebody replays it."
)


@admin.register(HandlerPosition)
class PositionAdmin(ReadOnlyAdmin):
    list_display = (
        "key",
        "handler_name",
        "state",
        "shown_error",
        "lag",
        "stuck_since",
        "holder",
    )
    heavy: ClassVar = ("last_traceback",)
    list_filter = (PositionHandlerFilter, PositionStatusFilter)
    ordering = ("-id",)
    search_fields = ("key",)
    search_help_text = "A key, or how it begins."
    actions = ("move_selected",)
    fieldsets = (
        (None, {"fields": ("handler_link", "key", "parameters", "state")}),
        ("Position", {"fields": ("offset", "lag", "epoch", "record_id", "in_flight_offset")}),
        (
            "Failure",
            {
                "fields": (
                    "attempts",
                    "stuck_since",
                    "next_attempt_at",
                    "blocked_event",
                    "full_error",
                    "full_trace",
                    "full_halt",
                )
            },
        ),
        ("Lease", {"fields": ("holder", "lease_until", "fence")}),
    )
    readonly_fields = (
        "handler_link",
        "parameters",
        "state",
        "lag",
        "blocked_event",
        "full_error",
        "full_trace",
        "full_halt",
        "holder",
        "lease_until",
    )

    def own(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return of_handlers(rows)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("handler")

    def prepare(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        found = statuses(rows)
        for row in rows:
            row.position_status = found[row.pk]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.prepare(request, [row])
        return row

    # Columns and fields -----------------------------------------------------------------------------------

    @admin.display(description="event handler")
    def handler_name(self, row: HandlerPosition) -> str:
        return row.handler.name

    @admin.display(description="event handler")
    def handler_link(self, row: HandlerPosition) -> str:
        url = reverse(f"{self.admin_site.name}:via_state_eventhandler_change", args=[row.handler_id])
        return format_html('<a href="{}">{}</a>', url, row.handler)

    @admin.display(description="parameters")
    def parameters(self, row: HandlerPosition) -> str:
        return shown_parameters(row.handler.template, row.key)

    @admin.display(description="state")
    def state(self, row: Any) -> str:
        if row.halted:
            return format_html('<span class="via-bad">halted ({})</span>', row.halted)
        if row.attempts:
            return format_html('<span class="via-bad">stuck, {} attempts</span>', row.attempts)
        if row.stuck_since:
            if not row.last_error.startswith((AWAY, BLOCKED)):
                return "asked for time"
            text = "can't read its log" if row.last_error.startswith(AWAY) else "blocked"
            return format_html('<span class="via-bad">{}</span>', text)
        if row.position_status.lag == 0:
            return "caught up"
        return "running" if row.position_status.held else "waits for a worker"

    @admin.display(description="lag (events)")
    def lag(self, row: Any) -> str:
        return "unknown" if row.position_status.lag is None else f"{row.position_status.lag:,}"

    @admin.display(description="held by")
    def holder(self, row: Any) -> str:
        return str(row.position_status.holder)

    @admin.display(description="held until")
    def lease_until(self, row: Any) -> str:
        return moment(row.position_status.until)

    @admin.display(description="last error")
    def shown_error(self, row: HandlerPosition) -> str:
        return first_line(row.halted_text if row.halted else row.last_error, 60)

    @admin.display(description="last error")
    def full_error(self, row: HandlerPosition) -> str:
        return block(row.last_error)

    @admin.display(description="blocked event")
    def blocked_event(self, row: HandlerPosition) -> str:
        return blocked_records.shown_blocked(row)

    @admin.display(description="traceback")
    def full_trace(self, row: HandlerPosition) -> str:
        return block(row.last_traceback)

    @admin.display(description="why it is halted")
    def full_halt(self, row: HandlerPosition) -> str:
        return block(row.halted_text)

    # Move the blocked record into the dead letters -------------------------------------------------------

    def has_move_to_dead_letters_permission(self, request: HttpRequest) -> bool:
        return self.has_our_permission(request, "move_to_dead_letters")

    @admin.action(
        permissions=["move_to_dead_letters"], description="Move the blocked records into the dead letters"
    )
    def move_selected(self, request: HttpRequest, queryset: QuerySet[HandlerPosition]) -> HttpResponse:
        rows = list(queryset[: blocked_records.MOST + 1])
        note = (
            f"You selected more than {blocked_records.MOST}, which is the most for one request: these come first."
        )
        return self._ask(request, rows[: blocked_records.MOST], note if len(rows) > blocked_records.MOST else "")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.move_view)
        ours = path("move-to-dead-letters/", view, name="via_state_handlerposition_move")
        return [ours, *super().get_urls()]

    def buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        if (
            not isinstance(row, HandlerPosition)
            or blocked_records.obstacle(row)
            or not self.has_move_to_dead_letters_permission(request)
        ):
            return []
        return [(f"{self._url()}?item={row.pk}", "Move the blocked record into the dead letters")]

    def _url(self) -> str:
        return reverse(f"{self.admin_site.name}:via_state_handlerposition_move")

    def _ask(self, request: HttpRequest, rows: Sequence[HandlerPosition], note: str = "") -> HttpResponse:
        back = reverse(f"{self.admin_site.name}:via_state_handlerposition_changelist")
        items = blocked_records.items_of(rows)
        title = "Move blocked records into the dead letters"
        return confirmation(
            self, request, Question(title, EXPLANATION, "Yes, move", self._url(), back, items, note)
        )

    def move_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks about the positions that ``item`` names; POST moves the records that the page showed, no others."""
        if not self.has_move_to_dead_letters_permission(request):
            raise PermissionDenied
        given = (request.POST if request.method == "POST" else request.GET).getlist("item")
        shown = blocked_records.tokens(given)
        back = reverse(f"{self.admin_site.name}:via_state_handlerposition_changelist")
        if not shown or len(shown) > blocked_records.MOST:
            self.message_user(request, f"Choose 1 to {blocked_records.MOST} positions.", messages.WARNING)
            return HttpResponseRedirect(back)
        rows = list(self.get_queryset(request).filter(pk__in=shown))
        if request.method != "POST":
            return self._ask(request, rows)
        for row in rows:
            refused = blocked_records.move(row, shown[row.pk], request.user.get_username())
            if refused:
                self.message_user(request, f"Not moved: {row.handler} on {row.key}: {refused}", messages.ERROR)
                continue
            where = shown[row.pk].offset
            self.keep_entry(
                request, row, f"{row.handler}: moved the record at offset {where} into the dead letters."
            )
            text = f"Moved: {row.handler} on {row.key}, offset {where}. It is a dead letter now."
            self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(back)
