"""``manage.py retire_snapshots``: code that will not run again no longer keeps records."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from via_state.bookkeeping.database.retention import lock_log
from via_state.conf import settings
from via_state.declarations.catalog import concrete_logs
from via_state.management.base import StateCommand, counted
from via_state.models import SnapshotRow


class Command(StateCommand):
    help = (
        "Removes the snapshots of code that will not run again, so that it no longer keeps records from being discarded. "
        "Snapshots stay after a deploy, so that its rollback starts at once; retire them when it is final. Without a "
        "fingerprint: lists the code that has snapshots."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("fingerprint", nargs="?", help="which code, as state_status and this command list it")
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        fingerprint = options["fingerprint"]
        rows = SnapshotRow.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)
        current = {
            one.built().snapshots.manifest.fingerprint  # type: ignore[union-attr]
            for one in concrete_logs()
            if one.built().snapshots is not None
        }
        if fingerprint is None:
            self._list(rows, current)
            return
        if not rows.filter(fingerprint=fingerprint).exists():
            raise CommandError(
                f"No snapshot is of code {fingerprint!r}. Without arguments this command lists them."
            )
        if fingerprint in current:
            raise CommandError(f"{fingerprint} is the code that runs this command. Deploy the new code first.")
        if rows.filter(fingerprint=fingerprint, lease_until__gt=Now()).exists():
            raise CommandError(
                f"A process that runs code {fingerprint} makes snapshots at this moment. Stop the processes that have this code first."
            )
        removed = kept = 0
        for name in list(rows.filter(fingerprint=fingerprint).values_list("name", flat=True).distinct()):
            with transaction.atomic(using=settings.DATABASE):
                lock_log(name)
                mine = rows.filter(fingerprint=fingerprint, name=name)
                # Where records are gone, some snapshot must stay that covers them.
                others = rows.filter(name=name, data__isnull=False).exclude(fingerprint=fingerprint)
                needed = mine.filter(data__isnull=False).exclude(log__in=others.values("log"))
                needed = needed.filter(log__in=rows.filter(compacted__gt=0).values("log"))
                keep = list(needed.values_list("pk", flat=True))
                kept += len(keep)
                gone = mine.exclude(pk__in=keep)
                if options["dry_run"]:
                    removed += gone.count()
                    continue
                for log, compacted in gone.filter(compacted__gt=0).values_list("log", "compacted"):
                    # That records are gone must stay known.
                    rows.filter(log=log, compacted__lt=compacted).update(compacted=compacted)
                removed += gone.delete()[0]
        verb = "would be removed" if options["dry_run"] else "removed"
        self.stdout.write(self.style.SUCCESS(f"{counted(removed, 'snapshot')} of code {fingerprint} {verb}."))
        if kept:
            self.stdout.write(
                self.style.WARNING(
                    f"{counted(kept, 'snapshot')} kept: nothing else covers records that were discarded. Run this again when the "
                    "new code has made snapshots of these logs."
                )
            )

    def _list(self, rows: Any, current: set[str]) -> None:
        found = (
            rows.values("fingerprint", "name", "version").annotate(logs=Count("pk")).order_by("name", "version")
        )
        if not found:
            self.stdout.write("There are no snapshots.")
        for one in found:
            mark = "  (this code)" if one["fingerprint"] in current else ""
            self.stdout.write(
                f"{one['fingerprint']}  {one['name']}, version {one['version']}, {counted(one['logs'], 'log')}{mark}"
            )
