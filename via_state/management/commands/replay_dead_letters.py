"""``manage.py replay_dead_letters``: run event handlers again for the records that they gave up on."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from via_state.management.ages import age
from via_state.management.base import StateCommand, counted
from via_state.models import DeadLetter
from via_state.operations.dead_letters import choose
from via_state.operations.handlers import declared
from via_state.operations.replay import Replay


class Command(StateCommand):
    help = (
        "Runs event handlers again for their dead letters, oldest first. A letter that succeeds is resolved, and is not "
        "replayed twice; one that fails stays, with its new error. While letters of a key are replayed, workers do not run "
        "their handler on it. Exits with 1 when one failed. Examples: "
        "manage.py replay_dead_letters --handler ship --dry-run; manage.py replay_dead_letters --id 17 --id 18"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        many: dict[str, Any] = {"action": "append", "default": []}
        parser.add_argument("--handler", help="only of these handlers", metavar="NAME", **many)
        parser.add_argument("--key", help="only of these keys, or of a family's template", metavar="KEY", **many)
        parser.add_argument("--id", help="only these letters", type=int, metavar="ID", **many)
        parser.add_argument("--older-than", metavar="AGE", help="only older ones: 90s, 15m, 2h or 7d")
        parser.add_argument("--newer-than", metavar="AGE", help="only newer ones")
        parser.add_argument("--dry-run", action="store_true", help="list them, and run nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        older, newer = options["older_than"], options["newer_than"]
        letters = choose(
            handlers=options["handler"],
            keys=options["key"],
            ids=options["id"],
            older_than=age(older) if older else None,
            newer_than=age(newer) if newer else None,
        )
        if options["dry_run"]:
            for letter in letters.iterator(100):
                self.stdout.write(f"{_where(letter)}: {letter.error}")
            self.stdout.write(f"{counted(letters.count(), 'dead letter')} would be replayed.")
            return
        with Replay(f"manage.py ({getpass.getuser()})") as replaying:
            self._replay(letters, replaying)

    def _replay(self, letters: QuerySet[DeadLetter], replaying: Replay) -> None:
        code, total = declared(), letters.count()
        done = failed = 0
        for number, letter in enumerate(letters.iterator(100), 1):
            log, spec = code.get((letter.template, letter.handler), (None, None))
            if log is None or spec is None:
                failed += 1
                self.stdout.write(self.style.ERROR(f"{_where(letter)}: nothing in this code declares its handler"))
                continue
            outcome = replaying.run(letter, spec, log.spec)
            done += outcome.done
            if outcome.error:
                failed += 1
                self.stdout.write(self.style.ERROR(f"{_where(letter)}: {outcome.error}"))
            self.progress(f"{number:,} of {total:,}")
        self.progress("")
        self.stdout.write(
            self.style.SUCCESS(f"{done:,} of {counted(total, 'dead letter')} replayed, {failed:,} failed.")
        )
        if failed:
            raise SystemExit(1)


def _where(letter: DeadLetter) -> str:
    return f"{letter.pk}: {letter.handler}, {letter.key} at {letter.offset}"
