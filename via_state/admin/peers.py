"""The processes of the cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block
from via_state.models import PeerRow
from via_state.operations.peers import alive_peers


@admin.register(PeerRow)
class PeerAdmin(ReadOnlyAdmin):
    list_display = ("shown", "alive", "roles", "doorbell", "started_at", "lease_until", "id")
    ordering = ("-lease_until", "-id")
    heavy: ClassVar = ("fingerprints", "events")
    fields = ("host", "pid", "alive", "roles", "doorbell", "started_at", "lease_until", "code", "versions", "id")
    readonly_fields = ("alive", "code", "versions")

    def prepare(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        alive = alive_peers([row.pk for row in rows])
        for row in rows:
            row.is_alive = row.pk in alive

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.prepare(request, [row])
        return row

    @admin.display(description="process")
    def shown(self, row: PeerRow) -> str:
        return str(row)

    @admin.display(description="alive", boolean=True)
    def alive(self, row: Any) -> bool:
        return bool(row.is_alive)

    @admin.display(description="code (fingerprints)")
    def code(self, row: PeerRow) -> str:
        return block(json.dumps(row.fingerprints, indent=2))

    @admin.display(description="event versions that it reads")
    def versions(self, row: PeerRow) -> str:
        return block(json.dumps(row.events, indent=2))
