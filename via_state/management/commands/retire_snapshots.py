"""``manage.py retire_snapshots``: code that will not run again no longer keeps records."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.management.base import StateCommand, counted
from via_state.operations.snapshots import codes, obstacle, retire


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
        if fingerprint is None:
            self._list()
            return
        if why := obstacle(fingerprint):
            raise CommandError(why)
        removed, kept = retire(fingerprint, dry=options["dry_run"])
        verb = "would be removed" if options["dry_run"] else "removed"
        self.stdout.write(self.style.SUCCESS(f"{counted(removed, 'snapshot')} of code {fingerprint} {verb}."))
        if kept:
            self.stdout.write(
                self.style.WARNING(
                    f"{counted(kept, 'snapshot')} kept: nothing else covers records that were discarded. Run this again when the "
                    "new code has made snapshots of these logs."
                )
            )

    def _list(self) -> None:
        found = list(codes())
        if not found:
            self.stdout.write("There are no snapshots.")
        for one in found:
            mark = "  (this code)" if one.current else ""
            logs = counted(one.logs, "log")
            self.stdout.write(f"{one.fingerprint}  {one.name}, version {one.version}, {logs}{mark}")
