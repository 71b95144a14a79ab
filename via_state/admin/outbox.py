"""The outbox: what waits, and what was set aside because it can't be appended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from via_state.admin.confirmation import Item, Question, confirmation
from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block, first_line
from via_state.models import OutboxRecord
from via_state.operations.outbox import discard, put_back
from via_state.pod.default import current_pod

#: Records in one request.
MOST = 100


@dataclass(frozen=True, slots=True)
class Act:
    """What may be done to a record that was set aside. ``name`` is that of the permission as well."""

    name: str
    title: str
    explanation: str
    button: str
    done: str
    run: Callable[[int, str], bool]


REPLAY = Act(
    "replay",
    "Replay outbox records",
    "These records are put back into the outbox and relayed, before younger ones of their keys that wait. A record that can't be "
    "appended this time either is set aside again.",
    "Yes, replay",
    "Put back into the outbox",
    put_back,
)
DISCARD = Act(
    "discard",
    "Discard outbox records",
    "These records are never appended: their events are lost to the log. They are kept in this list.",
    "Yes, discard",
    "Discarded",
    discard,
)
ACTS = {one.name: one for one in (REPLAY, DISCARD)}


@admin.register(OutboxRecord)
class OutboxAdmin(ReadOnlyAdmin):
    list_display = ("key", "status", "created", "set_aside_at", "shown_error")
    list_filter = ("status",)
    ordering = ("-id",)
    heavy: ClassVar = ("data",)
    actions = ("replay_selected", "discard_selected")
    fieldsets = (
        (None, {"fields": ("key", "status", "created", "count", "shown_data")}),
        ("Failure", {"fields": ("error", "set_aside_at", "resolved_at", "resolved_by")}),
    )
    readonly_fields = ("shown_data",)

    @admin.display(description="error")
    def shown_error(self, row: OutboxRecord) -> str:
        return first_line(row.error)

    @admin.display(description="events")
    def shown_data(self, row: OutboxRecord) -> str:
        return block(bytes(row.data).decode(errors="replace"))

    # Replay and discard -----------------------------------------------------------------------------------

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self.has_our_permission(request, REPLAY.name)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return self.has_our_permission(request, DISCARD.name)

    @admin.action(permissions=["replay"], description="Replay selected outbox records")
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[OutboxRecord]) -> HttpResponse:
        return self._ask(request, REPLAY, list(queryset[:MOST]))

    @admin.action(permissions=["discard"], description="Discard selected outbox records")
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[OutboxRecord]) -> HttpResponse:
        return self._ask(request, DISCARD, list(queryset[:MOST]))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        for alias in connections:
            # Each record is resolved on its own, whatever ATOMIC_REQUESTS says.
            view = transaction.non_atomic_requests(using=alias)(view)
        return [path("act/<str:name>/", view, name="via_state_outboxrecord_act"), *super().get_urls()]

    def buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        if not isinstance(row, OutboxRecord) or row.status != OutboxRecord.Status.ASIDE:
            return []
        allowed = [one for one in ACTS.values() if self.has_our_permission(request, one.name)]
        return [(f"{self._url(one)}?item={row.pk}", one.name.capitalize()) for one in allowed]

    def _url(self, act: Act) -> str:
        return reverse(f"{self.admin_site.name}:via_state_outboxrecord_act", args=[act.name])

    def _list(self) -> str:
        return reverse(f"{self.admin_site.name}:via_state_outboxrecord_changelist")

    def _ask(self, request: HttpRequest, act: Act, found: Sequence[OutboxRecord]) -> HttpResponse:
        items = [_item(row) for row in sorted(found, key=lambda row: row.pk)]
        return confirmation(
            self,
            request,
            Question(act.title, act.explanation, act.button, self._url(act), self._list(), items),
        )

    def act_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """GET asks, POST does it; both to the records that ``item`` names."""
        act = ACTS.get(name)
        if act is None:
            raise Http404
        if not self.has_our_permission(request, act.name):
            raise PermissionDenied
        given = (request.POST if request.method == "POST" else request.GET).getlist("item")
        pks = sorted({int(one) for one in given if one.isdecimal() and len(one) < 19})[:MOST]
        found = list(self.get_queryset(request).filter(pk__in=pks).order_by("pk"))
        if request.method != "POST":
            return self._ask(request, act, found)
        by = request.user.get_username()
        done = []
        for row in found:
            if act.run(row.pk, by):
                done.append(str(row))
                self.keep_entry(request, row, f"{act.done}.")
            else:
                text = f"Not {act.name}ed: {row} is not set aside any more."
                self.message_user(request, text, messages.ERROR)
        if done:
            self.message_user(request, f"{act.done}: {'; '.join(done[:10])}.", messages.SUCCESS)
            current_pod().outbox.look_soon()
        return HttpResponseRedirect(self._list())


def _item(row: OutboxRecord) -> Item:
    aside = row.status == OutboxRecord.Status.ASIDE
    note = "" if aside else f"It is not set aside: {row.get_status_display()}."
    return Item(str(row), str(row.pk) if aside else "", [("error", first_line(row.error, 300))], note=note)
