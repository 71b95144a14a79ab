"""``manage.py resume_handler``: say where an event handler resumes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.exceptions import ViaStateError
from via_state.management.base import StateCommand
from via_state.management.confirming import add_no_input_argument, confirm
from via_state.operations.handlers import registered
from via_state.operations.logs import durable_pod
from via_state.operations.moves import Move, plan
from via_state.operations.positions import positions_to_move, resume


class Command(StateCommand):
    help = (
        "Says where a halted event handler resumes (its log was restored, recreated, or lost records): with the first record that "
        "is there, after the last one (head), or after an offset. One that is blocked by a record that only newer code knows "
        "can be moved forward. Moving any other one needs --force and --key, and asks: the handler runs again for events that "
        "it has had, or never for events that it has not. Examples: manage.py resume_handler ship head; "
        "manage.py resume_handler ship 4711 --key room.7"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the handler's name")
        parser.add_argument("where", help="first, head, or the offset after which it resumes")
        parser.add_argument("--log", help="its log's key or template, where several have a handler of this name")
        parser.add_argument("--key", help="only this key; otherwise all keys on which it is halted")
        parser.add_argument(
            "--force", action="store_true", help="also where it is not halted; asks before it does so"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        add_no_input_argument(parser)

    def answer(self, *args: Any, **options: Any) -> None:
        pod, where, key = durable_pod(), options["where"], options["key"]
        if where not in ("first", "head") and not where.isdecimal():
            raise CommandError(f"Invalid place {where!r}. Use first, head, or an offset.", returncode=2)
        if key is None and (where.isdecimal() or options["force"]):
            what = "An offset belongs to" if where.isdecimal() else "--force is for"
            raise CommandError(f"{what} one log: give --key.", returncode=2)
        handler = registered(options["name"], options["log"])
        rows = positions_to_move(handler, key)
        try:
            moves = [pod.thread.call(plan(pod.backplane, row, where)) for row in rows]
        except (ValueError, ViaStateError) as error:
            raise CommandError(str(error), returncode=2) from error
        if refused := [move for move in moves if not move.allowed]:
            self._force(refused, options)
        for move in moves:
            if not options["dry_run"] and not resume(move.row, move.position, move.from_floor):
                raise CommandError(
                    f"{handler.name} on {move.row.key} has changed meanwhile and was left as it is. Look again.",
                    returncode=1,
                )
            verb = "would resume" if options["dry_run"] else "resumes"
            self.stdout.write(f"{handler.name} on {move.row.key} {verb} {move.text}.")

    def _force(self, moves: list[Move], options: dict[str, Any]) -> None:
        for move in moves:
            name, key = move.row.handler.name, move.row.key
            if not options["force"]:
                raise CommandError(
                    f"{name} on {key} is not halted; nothing was changed. With --force it would resume {move.text}.",
                    returncode=2,
                )
            if not options["dry_run"]:
                confirm(
                    self,
                    f"{name} on {key} is not halted. It will resume {move.text}.",
                    interactive=options["interactive"],
                )
