"""``manage.py compact_state``: discard what no one needs any more, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from via_state.exceptions import ViaStateError
from via_state.management.arguments import add_key_argument
from via_state.management.base import StateCommand, counted
from via_state.operations.compaction import Freed, compact
from via_state.operations.logs import durable_pod, selected


class Command(StateCommand):
    help = (
        "Discards the records that snapshots cover and nobody needs any more. Pods do so by themselves while they fold; this "
        "is for logs in which nothing happens, and to see what keeps records. Safe while the site runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_argument(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be discarded, and discard nothing"
        )

    def answer(self, *args: Any, **options: Any) -> None:
        pod, dry = durable_pod(), options["dry_run"]
        records = size = compacted = looked = 0
        if not pod.backplane.compacts:
            raise CommandError("This backplane keeps all records for ever.", returncode=2)
        for log in selected(pod, options["key"]):
            try:
                freed, why = compact(pod, log, dry=dry)
            except ViaStateError as error:
                raise CommandError(f"{log.key}: {error}", returncode=2) from error
            looked += 1
            if freed.records:
                compacted += 1
                records, size = records + freed.records, size + freed.size
            if freed.records or options["verbosity"] > 1:
                self.progress("")
                self.stdout.write(f"{log.key}: {_text(freed)}; the rest is kept by {why}")
            self.progress(f"{counted(looked, 'log')} looked at")
        self.progress("")
        verb = "would be discarded" if dry else "discarded"
        total = _text(Freed(records, size))
        self.stdout.write(self.style.SUCCESS(f"{total} {verb} in {compacted:,} of {counted(looked, 'log')}."))


def _text(freed: Freed) -> str:
    return f"{counted(freed.records, 'record')} ({filesizeformat(freed.size)})".replace("\xa0", " ")
