"""``manage.py retire_handler``: an event handler that will not run again no longer keeps records."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.management.base import StateCommand, counted
from via_state.operations.handlers import all_registered, declared, positions_of, registered, retire, worker_of
from via_state.operations.logs import durable_pod


class Command(StateCommand):
    help = (
        "Ends an event handler: its positions are removed, and it no longer keeps records from being discarded. Remove it from "
        "the code and deploy that first. Without a name: lists the handlers. Example: manage.py retire_handler ship"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="the handler's name")
        parser.add_argument("--log", help="its log's key or template, where several have a handler of this name")
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        durable_pod()
        code = declared()
        if options["name"] is None:
            rows = all_registered().order_by("template", "name")
            for row in rows:
                here = "" if (row.template, row.name) in code else "  (nothing in this code declares it)"
                self.stdout.write(f"{row.name}  {row.template}{here}")
            if not rows:
                self.stdout.write("There are no event handlers.")
            return
        row = registered(options["name"], options["log"])
        if (row.template, row.name) in code:
            raise CommandError(
                f"This code declares {row.name!r} on {row.template!r}: a worker would register it again, and begin with the first record. Remove "
                "the on_event and deploy that first."
            )
        if (running := worker_of(row)) is not None:
            worker, key = running
            raise CommandError(
                f"{worker}, still runs it on {key!r}: with the code of that worker it would be registered again, and begin with the "
                "first record. Stop the workers that have the old code first.",
                returncode=2,
            )
        if options["dry_run"]:
            count = positions_of(row).count()
            self.stdout.write(f"{row.name} on {row.template} would be retired, with {counted(count, 'position')}.")
            return
        self.stdout.write(
            self.style.SUCCESS(
                f"{row.name} on {row.template} is retired, with {counted(retire(row), 'position')}."
            )
        )
