"""``manage.py prune_dead_letters``: remove dead letters that nobody needs any more, or discard those that nobody will replay."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from via_state.management.ages import age
from via_state.management.base import StateCommand, counted
from via_state.models import DeadLetter
from via_state.operations.dead_letters import choose, discard_all, prune


class Command(StateCommand):
    help = (
        "Removes dead letters that are older than an age: by default those that were replayed or discarded, with --status new also those "
        "that wait for a person, for good. With --discard, letters that wait are marked as discarded instead, and kept. Examples: "
        "manage.py prune_dead_letters --older-than 90d --dry-run; manage.py prune_dead_letters --older-than 7d --handler ship --discard"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        many: dict[str, Any] = {"action": "append", "default": []}
        parser.add_argument(
            "--older-than", metavar="AGE", required=True, help="90s, 15m, 2h or 7d, since the handler gave up"
        )
        parser.add_argument(
            "--status",
            choices=DeadLetter.Status.values,
            help="only of this status; may be given several times (replayed and discarded)",
            **many,
        )
        parser.add_argument("--handler", help="only of these handlers", metavar="NAME", **many)
        parser.add_argument("--key", help="only of these keys, or of a family's template", metavar="KEY", **many)
        parser.add_argument(
            "--discard", action="store_true", help="mark letters that wait as discarded; remove nothing"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--json", action="store_true", help="a JSON object")

    def answer(self, *args: Any, **options: Any) -> None:
        statuses = options["status"] or [DeadLetter.Status.REPLAYED, DeadLetter.Status.DISCARDED]
        letters = choose(
            statuses=[DeadLetter.Status.NEW] if options["discard"] else statuses,
            handlers=options["handler"],
            keys=options["key"],
            older_than=age(options["older_than"]),
        )
        done = letters.count() if options["dry_run"] else self._do(letters, options["discard"])
        verb = "discarded" if options["discard"] else "removed"
        if options["json"]:
            self.document({verb: done, "dry_run": options["dry_run"]})
            return
        said = f"would be {verb}" if options["dry_run"] else verb
        self.stdout.write(self.style.SUCCESS(f"{counted(done, 'dead letter')} {said}."))

    def _do(self, letters: QuerySet[DeadLetter], discarding: bool) -> int:
        total, seen, done = letters.count(), 0, 0
        portions = discard_all(letters, f"manage.py ({getpass.getuser()})") if discarding else prune(letters)
        for looked_at, changed in portions:
            seen, done = seen + looked_at, done + changed
            self.progress(f"{seen:,} of {total:,}")
        return done
