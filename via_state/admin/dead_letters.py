"""Dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join

from via_state.admin.confirmation import Item, Question, confirmation
from via_state.admin.events import shown_letter
from via_state.admin.filters import EventNameFilter, HandlerFilter, LogFilter
from via_state.admin.keys import shown_parameters
from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.resolutions import DISCARD, MOST, REPLAY, RESOLUTIONS, Outcome, Resolution, resolve
from via_state.admin.text import block, first_line, moment
from via_state.core.metadata import from_text
from via_state.handlers.declaration import facts_of
from via_state.models import DeadLetter
from via_state.operations.dead_letters import position_of

#: Failures that a message of their own tells of, and log entries that a page shows.
TOLD, ENTRIES = 10, 20


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = (
        "event_name",
        "handler",
        "key",
        "offset",
        "shown_status",
        "added_at",
        "shown_error",
    )
    list_filter = ("status", "reason", HandlerFilter, LogFilter, EventNameFilter, "added_at")
    ordering = ("-added_at", "-id")
    sortable_by = ("added_at",)
    heavy: ClassVar = ("payload", "traceback")
    search_fields = ("key", "record_id")
    search_help_text = "A key or a record's id, or how it begins."
    actions = ("replay_selected", "discard_selected")
    fieldsets = (
        (
            None,
            {"fields": ("shown_handler", "template", "key", "shown_parameters", "offset", "epoch", "record_id")},
        ),
        ("Event", {"fields": ("event_name", "event_version", "shown_event", "shown_appended")}),
        (
            "Failure",
            {"fields": ("reason", "shown_failure", "shown_traceback", "attempts", "first_failed_at", "added_at")},
        ),
        ("What was done about it", {"fields": ("status", "resolved_at", "resolved_by", "shown_entries")}),
    )
    readonly_fields = (
        "shown_handler",
        "shown_parameters",
        "shown_event",
        "shown_appended",
        "shown_failure",
        "shown_traceback",
        "shown_entries",
    )

    # Columns and fields -----------------------------------------------------------------------------------

    @admin.display(description="status")
    def shown_status(self, letter: DeadLetter) -> str:
        by = f" by {letter.resolved_by}" if letter.resolved_by else ""
        return f"{letter.get_status_display()}{by}"

    @admin.display(description="appended")
    def shown_appended(self, letter: DeadLetter) -> str:
        """When, and on whose behalf, as far as the record says so."""
        time, actor, cause = facts_of(from_text(letter.metadata))
        parts = [
            "" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC",
            actor and f"by {actor}",
            cause and f"for the record {cause}",
        ]
        return " ".join(filter(None, parts)) or "-"

    @admin.display(description="error")
    def shown_error(self, letter: DeadLetter) -> str:
        return first_line(letter.error)

    @admin.display(description="event handler")
    def shown_handler(self, letter: DeadLetter) -> str:
        pk = position_of(letter)
        if pk is None:
            return letter.handler
        url = reverse(f"{self.admin_site.name}:via_state_handlerposition_change", args=[pk])
        return format_html('{} (<a href="{}">where it stands now</a>)', letter.handler, url)

    @admin.display(description="parameters")
    def shown_parameters(self, letter: DeadLetter) -> str:
        return shown_parameters(letter.template, letter.key)

    @admin.display(description="event")
    def shown_event(self, letter: DeadLetter) -> str:
        name, text, problem = shown_letter(letter)
        said = format_html('<p class="via-problem">{}</p>', problem) if problem else ""
        url = reverse(f"{self.admin_site.name}:via_state_deadletter_event", args=[letter.pk])
        return format_html(
            '<div><strong>{}</strong> <a href="{}">as a file</a>{}{}</div>', name, url, said, block(text)
        )

    @admin.display(description="error")
    def shown_failure(self, letter: DeadLetter) -> str:
        return block(letter.error)

    @admin.display(description="traceback")
    def shown_traceback(self, letter: DeadLetter) -> str:
        return block(letter.traceback)

    @admin.display(description="admin log")
    def shown_entries(self, letter: DeadLetter) -> str:
        from django.contrib.admin.models import LogEntry
        from django.contrib.contenttypes.models import ContentType

        kind = ContentType.objects.get_for_model(DeadLetter)
        entries = LogEntry.objects.filter(content_type=kind, object_id=str(letter.pk)).select_related("user")
        lines = [(moment(one.action_time), one.user, one.get_change_message()) for one in entries[:ENTRIES]]
        return format_html_join("", "<div>{}, {}: {}</div>", lines) or "-"

    # Replay and discard -----------------------------------------------------------------------------------

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self.has_our_permission(request, REPLAY.permission)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return self.has_our_permission(request, DISCARD.permission)

    @admin.action(permissions=["replay"], description="Replay selected dead letters")
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._selected(request, REPLAY, queryset)

    @admin.action(permissions=["discard"], description="Discard selected dead letters")
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._selected(request, DISCARD, queryset)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resolve_view)
        for alias in connections:
            # Each record is resolved on its own, whatever ATOMIC_REQUESTS says.
            view = transaction.non_atomic_requests(using=alias)(view)
        download = self.admin_site.admin_view(self.event_view)
        ours = [
            path("resolve/<str:name>/", view, name="via_state_deadletter_resolve"),
            path("<int:pk>/event/", download, name="via_state_deadletter_event"),
        ]
        return [*ours, *super().get_urls()]

    def event_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The event as it is stored, all of it: what the page shows only the beginning of."""
        letter = self.get_object(request, str(pk))
        if letter is None:
            raise Http404
        if not self.has_view_permission(request, letter):
            raise PermissionDenied
        headers = {"Content-Disposition": f'attachment; filename="event-{pk}.json"'}
        return HttpResponse(letter.payload, content_type="application/json", headers=headers)

    def buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        if not isinstance(row, DeadLetter) or row.status != DeadLetter.Status.NEW:
            return []
        allowed = [one for one in (REPLAY, DISCARD) if self.has_our_permission(request, one.permission)]
        return [(f"{self._url(one)}?item={row.pk}", one.name.capitalize()) for one in allowed]

    def _url(self, resolution: Resolution) -> str:
        return reverse(f"{self.admin_site.name}:via_state_deadletter_resolve", args=[resolution.name])

    def _selected(self, request: HttpRequest, resolution: Resolution, rows: QuerySet[DeadLetter]) -> HttpResponse:
        letters = list(rows[: MOST + 1])
        note = ""
        if len(letters) > MOST:
            more = (
                "manage.py replay_dead_letters replays any number."
                if resolution is REPLAY
                else "Do the rest after that."
            )
            note = f"You selected more than {MOST}, which is the most for one request: these come first. {more}"
        return self._ask(request, resolution, letters[:MOST], note)

    def _ask(
        self, request: HttpRequest, resolution: Resolution, letters: Sequence[DeadLetter], note: str = ""
    ) -> HttpResponse:
        items = [_item(resolution, letter) for letter in sorted(letters, key=lambda letter: letter.pk)]
        back = reverse(f"{self.admin_site.name}:via_state_deadletter_changelist")
        question = Question(
            resolution.title, resolution.explanation, resolution.button, self._url(resolution), back, items, note
        )
        return confirmation(self, request, question)

    def resolve_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """GET asks, POST does it; both to the records that ``item`` names."""
        resolution = RESOLUTIONS.get(name)
        if resolution is None:
            raise Http404
        if not self.has_our_permission(request, resolution.permission):
            raise PermissionDenied
        given = (request.POST if request.method == "POST" else request.GET).getlist("item")
        pks = sorted({int(one) for one in given if one.isdecimal() and len(one) < 19})
        back = reverse(f"{self.admin_site.name}:via_state_deadletter_changelist")
        if not pks or len(pks) > MOST:
            self.message_user(request, f"Choose 1 to {MOST} dead letters.", messages.WARNING)
            return HttpResponseRedirect(back)
        letters = list(self.get_queryset(request).filter(pk__in=pks).order_by("pk"))
        if request.method != "POST":
            return self._ask(request, resolution, letters)
        by = request.user.get_username()
        self._tell(
            request,
            resolution,
            resolve(resolution, letters, by, lambda letter, text: self.keep_entry(request, letter, text)),
        )
        one = reverse(f"{self.admin_site.name}:via_state_deadletter_change", args=pks) if len(pks) == 1 else back
        return HttpResponseRedirect(one)

    def _tell(
        self, request: HttpRequest, resolution: Resolution, outcomes: Sequence[tuple[DeadLetter, Outcome]]
    ) -> None:
        done = [str(letter) for letter, outcome in outcomes if outcome.ok]
        failed = [(letter, outcome) for letter, outcome in outcomes if not outcome.ok]
        if done:
            names = "; ".join(done[:TOLD]) + (f"; and {len(done) - TOLD} more" if len(done) > TOLD else "")
            self.message_user(request, f"{resolution.done}: {names}.", messages.SUCCESS)
        for letter, outcome in failed[:TOLD]:
            self.message_user(
                request,
                f"Not {resolution.done.lower()}: {letter}: {first_line(outcome.said, 300)}",
                messages.ERROR,
            )
        if len(failed) > TOLD:
            text = f"{len(failed) - TOLD} more were not {resolution.done.lower()}; the list shows how they stand."
            self.message_user(request, text, messages.ERROR)


def _item(resolution: Resolution, letter: DeadLetter) -> Item:
    obstacle = resolution.obstacle(letter)
    lines = [
        ("event", letter.event_name or "not a record of via_state"),
        ("error", first_line(letter.error, 300)),
        ("attempts", str(letter.attempts)),
    ]
    return Item(str(letter), "" if obstacle else str(letter.pk), lines, note=obstacle)
