"""``manage.py prune_dead_letters``: remove dead letters that nobody needs any more, or discard those that nobody will replay."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from via_state.conf import settings
from via_state.handlers.replay import discard
from via_state.management.ages import age
from via_state.management.base import StateCommand, counted
from via_state.management.handlers import check_names, declared
from via_state.management.selection import check_keys
from via_state.models import DeadLetter

#: Rows of one statement: a short lock, and a step of the progress.
PORTION = 500


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
        every = DeadLetter.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)
        statuses = options["status"] or [DeadLetter.Status.REPLAYED, DeadLetter.Status.DISCARDED]
        if options["discard"]:
            statuses = [DeadLetter.Status.NEW]
        letters = every.filter(status__in=statuses, buried_at__lt=Now() - age(options["older_than"]))
        if options["handler"]:
            known = [*every.values_list("handler", flat=True).distinct(), *(name for _, name in declared())]
            check_names(options["handler"], known, "event handler")
            letters = letters.filter(handler__in=options["handler"])
        if options["key"]:
            pairs = every.values_list("key", "log").distinct()
            check_keys(options["key"], (name for pair in pairs for name in pair))
            letters = letters.filter(Q(key__in=options["key"]) | Q(log__in=options["key"]))
        done = letters.count() if options["dry_run"] else self._do(letters, options["discard"])
        verb = "discarded" if options["discard"] else "removed"
        if options["json"]:
            self.document({verb: done, "dry_run": options["dry_run"]})
            return
        said = f"would be {verb}" if options["dry_run"] else verb
        self.stdout.write(self.style.SUCCESS(f"{counted(done, 'dead letter')} {said}."))

    def _do(self, letters: QuerySet[DeadLetter], discarding: bool) -> int:
        total, seen, done, after = letters.count(), 0, 0, 0
        by = f"manage.py ({getpass.getuser()})"
        while portion := list(letters.filter(pk__gt=after).order_by("pk").only("pk")[:PORTION]):
            after = portion[-1].pk
            if discarding:
                done += sum(discard(letter, by) for letter in portion)
            else:
                # With the conditions: a letter that was given up anew meanwhile stays.
                done += letters.filter(pk__in=[letter.pk for letter in portion]).delete()[0]
            seen += len(portion)
            self.progress(f"{seen:,} of {total:,}")
        return done
