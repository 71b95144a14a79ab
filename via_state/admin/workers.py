"""The processes that run event handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from via_state.admin.readonly import ReadOnlyAdmin
from via_state.models import HandlerWorker
from via_state.operations.peers import alive_workers, held_by

COUNTED = 1_000


@admin.register(HandlerWorker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("shown", "lease", "positions", "started_at", "lease_until")
    ordering = ("-lease_until", "-id")
    fields = ("host", "pid", "lease", "started_at", "lease_until", "worker_group", "id")
    readonly_fields = ("lease",)

    def prepare(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        alive = set(alive_workers().filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
        for row in rows:
            row.alive, row.count = row.pk in alive, held_by(row.pk)[: COUNTED + 1].count()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.prepare(request, [row])
        return row

    @admin.display(description="worker")
    def shown(self, row: HandlerWorker) -> str:
        return str(row)

    @admin.display(description="alive", boolean=True)
    def lease(self, row: Any) -> bool:
        return bool(row.alive)

    @admin.display(description="positions held")
    def positions(self, row: Any) -> str:
        return f"{row.count:,}" if row.count <= COUNTED else f"more than {COUNTED:,}"
