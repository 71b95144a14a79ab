"""``manage.py resume_handler``: say where an event handler goes on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.conf import settings
from via_state.exceptions import ViaStateError
from via_state.handlers.operations import find_position, resume
from via_state.management.base import StateCommand
from via_state.management.handlers import registered
from via_state.management.selection import durable_pod
from via_state.models import HandlerPosition


class Command(StateCommand):
    help = (
        "Says where an event handler goes on that stands still because its log was restored, recreated, or lost records: with "
        "the first record that is there, behind the last one (head), or behind an offset. Examples: "
        "manage.py resume_handler ship head; manage.py resume_handler ship 4711 --key room.7"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the handler's name")
        parser.add_argument("where", help="first, head, or the offset behind which it goes on")
        parser.add_argument("--log", help="its log's key or template, where several have a handler of this name")
        parser.add_argument("--key", help="only this key; otherwise all keys on which it stands still")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        pod, where = durable_pod(), options["where"]
        if where not in ("first", "head") and not where.isdecimal():
            raise CommandError(f"{where!r} is no place in a log: write first, head, or an offset.", returncode=2)
        handler = registered(options["name"], options["log"])
        rows = HandlerPosition.objects.using(settings.DATABASE).filter(handler=handler).select_related("handler")
        rows = rows.exclude(halted="") if options["key"] is None else rows.filter(key=options["key"])
        if where.isdecimal() and options["key"] is None:
            raise CommandError("An offset belongs to one log: give --key.", returncode=2)
        found = list(rows)
        if not found:
            at = "" if options["key"] is None else f" on {options['key']!r}"
            raise CommandError(f"{handler.name} does not stand anywhere{at}; nothing was done.", returncode=2)
        for row in found:
            try:
                position, from_floor = pod.thread.call(find_position(pod.backplane, row.key, where))
            except (ValueError, ViaStateError) as error:
                raise CommandError(str(error), returncode=2) from error
            if not options["dry_run"]:
                resume(row, position, from_floor)
            verb = "would go on" if options["dry_run"] else "goes on"
            place = "with the first record" if from_floor else f"behind offset {position.offset:,}"
            self.stdout.write(f"{handler.name} on {row.key} {verb} {place}.")
