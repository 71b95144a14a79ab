"""Snapshots of logs. Their data stays where it is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.timesince import timesince

from via_state.admin.readonly import ReadOnlyAdmin
from via_state.admin.text import block
from via_state.models import SnapshotRow
from via_state.operations.pages import SNAPSHOT_DATA


@admin.register(SnapshotRow)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = (
        "key",
        "offset",
        "size",
        "age",
        "code",
        "version",
        "shown_epoch",
        "compactable",
        "compacted",
        "agrees",
    )
    ordering = ("-id",)
    search_fields = ("key",)
    search_help_text = "A key, or how it begins."
    fieldsets = (
        (None, {"fields": ("key", "template", "offset", "record_id", "epoch", "size", "saved_at", "digest")}),
        ("Code", {"fields": ("fingerprint", "version", "shown_manifest", "shown_divergence")}),
        ("Compaction", {"fields": ("candidate", "candidate_at", "compactable", "compacted")}),
        ("Lease", {"fields": ("lease_owner", "lease_until")}),
    )
    readonly_fields = ("size", "shown_manifest", "shown_divergence")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).defer(*SNAPSHOT_DATA).annotate(bytes=Length("data"))
        return found

    @admin.display(description="size")
    def size(self, row: Any) -> str:
        return "no data yet" if row.bytes is None else filesizeformat(row.bytes)

    @admin.display(description="age")
    def age(self, row: SnapshotRow) -> str:
        return timesince(row.saved_at, depth=1)

    @admin.display(description="code")
    def code(self, row: SnapshotRow) -> str:
        return row.fingerprint[:8]

    @admin.display(description="epoch")
    def shown_epoch(self, row: SnapshotRow) -> str:
        return row.epoch[:8]

    @admin.display(description="agrees", boolean=True)
    def agrees(self, row: SnapshotRow) -> bool:
        return not row.diverged

    @admin.display(description="manifest")
    def shown_manifest(self, row: SnapshotRow) -> str:
        return block(row.manifest)

    @admin.display(description="divergence")
    def shown_divergence(self, row: SnapshotRow) -> str:
        return block(row.diverged)
