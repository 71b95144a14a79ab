"""Snapshots by the code that made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import Count
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.retention import lock_log
from via_state.declarations.catalog import concrete_logs


class Code(NamedTuple):
    """Code that has snapshots of a declared log, and of how many logs. ``current``: this code is it."""

    fingerprint: str
    name: str
    version: int
    logs: int
    current: bool


def current_fingerprints() -> set[str]:
    """Those of this code."""
    specs = (one.built().snapshots for one in concrete_logs())
    return {spec.manifest.fingerprint for spec in specs if spec is not None}


def codes() -> Iterable[Code]:
    """All code that has snapshots."""
    current = current_fingerprints()
    found = tables.snapshots.rows().values("fingerprint", "template", "version").annotate(logs=Count("pk"))
    for one in found.order_by("template", "version"):
        yield Code(one["fingerprint"], one["template"], one["version"], one["logs"], one["fingerprint"] in current)


def obstacle(fingerprint: str) -> str:
    """Why the snapshots of a code can't be retired, or nothing."""
    mine = tables.snapshots.rows().filter(fingerprint=fingerprint)
    if not mine.exists():
        return f"No snapshot is of code {fingerprint!r}. Without arguments this command lists them."
    if fingerprint in current_fingerprints():
        return f"{fingerprint} is the code that runs this command. Deploy the new code first."
    if mine.filter(lease_until__gt=Now()).exists():
        return f"A process that runs code {fingerprint} makes snapshots at this moment. Stop the processes that have this code first."
    return ""


def retire(fingerprint: str, *, dry: bool = False) -> tuple[int, int]:
    """Remove the snapshots of a code, which then keeps no records; how many, and how many stay because nothing else covers
    records that are gone. ``dry`` only counts.
    """
    rows = tables.snapshots.rows()
    removed = kept = 0
    for name in list(rows.filter(fingerprint=fingerprint).values_list("template", flat=True).distinct()):
        with tables.atomic():
            lock_log(name)
            mine = rows.filter(fingerprint=fingerprint, template=name)
            # Where records are gone, some snapshot must stay that covers them.
            others = rows.filter(template=name, data__isnull=False).exclude(fingerprint=fingerprint)
            needed = mine.filter(data__isnull=False).exclude(log_hash__in=others.values("log_hash"))
            needed = needed.filter(log_hash__in=rows.filter(compacted__gt=0).values("log_hash"))
            keep = list(needed.values_list("pk", flat=True))
            kept += len(keep)
            gone = mine.exclude(pk__in=keep)
            if dry:
                removed += gone.count()
                continue
            for log, compacted in gone.filter(compacted__gt=0).values_list("log_hash", "compacted"):
                # Keep the fact that records were discarded.
                rows.filter(log_hash=log, compacted__lt=compacted).update(compacted=compacted)
            removed += gone.delete()[0]
    return removed, kept
