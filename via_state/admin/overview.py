"""The overview: is it well? One page without rows of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseFailure
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from via_state.admin.readonly import ReadOnlyAdmin, memory_hint
from via_state.admin.sparkline import sparkline
from via_state.conf import settings
from via_state.exceptions import ViaStateError
from via_state.models import Overview
from via_state.operations.doctor.catalog import anchor
from via_state.operations.flow import MINUTES, Flow, a_minute
from via_state.operations.history import Happening
from via_state.operations.logs import durable_pod
from via_state.operations.overview import HandlerLine, overview
from via_state.operations.refusal import Refused
from via_state.operations.search import LETTERS, Lead, search
from via_state.runtime.database_errors import sentence

#: Lines of a table; what people did, and what became of processes.
MOST, DONE, BECAME = 10, 8, 4
#: Where a finding is looked at: a model's list, and what its address says.
_LISTS = {
    "D301": ("handlerworker", ""),
    "D302": ("eventhandler", ""),
    "D303": ("deadletter", "?status__exact=new"),
    "D304": ("outboxrecord", ""),
    "D305": ("haltedkey", ""),
    "D306": ("peerrow", ""),
    "D309": ("peerrow", ""),
    "D311": ("handlerposition", ""),
}


@admin.register(Overview)
class OverviewAdmin(ReadOnlyAdmin):
    """Its list is the page."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Overview",
            "media": self.media,
            "most": MOST,
            "at": f"{timezone.localtime():%Y-%m-%d %H:%M:%S}",
            "term": request.GET.get("q", "").replace("\0", "").strip(),  # no database can look for that
            **(extra_context or {}),
        }
        try:
            context |= self._found(request, context["term"]) if context["term"] else self._shown(request)
        except Refused as error:
            context["via_hint"] = memory_hint() or str(error)
        except DatabaseFailure as error:
            context["via_problem"] = sentence(error, settings.DATABASE)
        except ViaStateError as error:
            context["via_problem"] = str(error)
        return TemplateResponse(request, "admin/via_state/overview.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """A row has no page here."""
        return self.changelist_view(request)

    def _shown(self, request: HttpRequest) -> dict[str, Any]:
        found = overview(durable_pod())
        return {
            "found": found,
            "needs": [
                (one, self._list(request, *_LISTS.get(one.id, ("", ""))), anchor(one.id)) for one in found.needs
            ],
            "minutes": MINUTES,
            "flow": [
                (
                    "Events appended",
                    a_minute(found.flow.appended),
                    sparkline(found.flow.appended, "Events appended"),
                ),
                ("Deliveries", a_minute(found.flow.delivered), sparkline(found.flow.delivered, "Deliveries")),
                (
                    "Deliveries that failed",
                    a_minute(found.flow.failed),
                    sparkline(found.flow.failed, "Failed deliveries"),
                ),
            ],
            "handlers": [(one, self._of(request, one), _spark(found.flow, one)) for one in found.handlers[:MOST]],
            "logs": found.logs[:MOST],
            "peers": [(release, one) for release in found.releases for one in release.peers][:MOST],
            "happened": self._happened(request, found.happenings),
        }

    def _found(self, request: HttpRequest, term: str) -> dict[str, Any]:
        """Where a search leads."""
        durable_pod()
        label, meta = self.opts.app_label, self.opts.app_config

        def may_view(model: str) -> bool:
            return bool(request.user.has_perm(f"{label}.view_{model}"))

        def kind(model: str) -> str:
            return str(meta.get_model(model)._meta.verbose_name)

        def address(lead: Lead) -> str:
            name = f"{self.admin_site.name}:{label}_{lead.model}"
            if lead.pk is None:
                return reverse(f"{name}_changelist") + "?" + urlencode({"q": term})
            if lead.model == "eventhandler" and may_view("handlerposition"):
                return self._list(request, "handlerposition", f"?of={lead.pk}")
            return reverse(f"{name}_change", args=[quote(lead.pk)])

        found = search(term, may_view)
        return {
            "leads": [(kind(one.model), one.text, address(one)) for one in found.leads],
            "declared": found.declared,
            "passed_over": [str(meta.get_model(one)._meta.verbose_name_plural) for one in found.passed_over],
            "letters": LETTERS,
        }

    def _list(self, request: HttpRequest, model: str, query: str = "") -> str:
        """The address of a list that the user may view, or ""."""
        if not model or not request.user.has_perm(f"{self.opts.app_label}.view_{model}"):
            return ""
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{model}_changelist") + query

    def _of(self, request: HttpRequest, one: HandlerLine) -> str:
        return self._list(request, "handlerposition", f"?of={one.pk}")

    def _happened(self, request: HttpRequest, became: list[Happening]) -> list[tuple[datetime, str, str]]:
        """What became of processes; and what people did, for those who may see the records that it names. The newest first."""
        lines = [(one.at, "", one.text) for one in became[:BECAME]]
        if request.user.has_perm(f"{self.opts.app_label}.view_deadletter"):
            rows = LogEntry.objects.filter(content_type__app_label=self.opts.app_label).select_related("user")
            lines += [
                (one.action_time, str(one.user), f"{one.object_repr}: {one.get_change_message()}")
                for one in rows.order_by("-action_time")[:DONE]
            ]
        return sorted(lines, key=lambda line: line[0], reverse=True)


def _spark(flow: Flow, one: HandlerLine) -> SafeString:
    numbers = [done for done, _ in flow.handlers.get((one.template, one.name), [(0, 0)] * MINUTES)]
    return sparkline(numbers, f"Deliveries of {one.name}")
