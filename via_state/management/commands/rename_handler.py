"""``manage.py rename_handler``: an event handler continues under another name."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from via_state.management.base import StateCommand, counted
from via_state.operations.handlers import rename
from via_state.operations.logs import durable_pod


class Command(StateCommand):
    help = (
        "Gives an event handler another name, with its positions and dead letters: under a new name alone it would begin with the first "
        "event. Stop the workers, deploy the code that has the new name, run this, and start the workers. An event that was being "
        "tried has another idempotency key from then on. Example: manage.py rename_handler ship send"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("old", help="the name that it has now")
        parser.add_argument("new", help="the name that this code declares")
        parser.add_argument("--log", help="its log's key or template, where several have a handler of this name")
        parser.add_argument("--dry-run", action="store_true", help="say what would be renamed, and change nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        durable_pod()
        old, new, dry = options["old"], options["new"], options["dry_run"]
        found = rename(old, new, options["log"], dry=dry)
        what = f"{counted(found.positions, 'position')} and {counted(found.letters, 'dead letter')}"
        verb = "would be" if dry else "is"
        self.stdout.write(self.style.SUCCESS(f"{old} {verb} renamed to {new}, with {what}."))
        if found.dropped:
            letters = counted(found.dropped, "dead letter")
            self.stdout.write(f"{letters} of {old} left out: {new} has one of the same record.")
