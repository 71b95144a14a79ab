"""``manage.py state_doctor``: what is wrong, whose doing it is, and what to do."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.core.management.base import CommandParser

from via_state.core.findings import Finding, Level
from via_state.management.base import StateCommand, counted
from via_state.operations.doctor.catalog import anchor
from via_state.operations.doctor.doctor import examine
from via_state.operations.logs import durable_pod


class Command(StateCommand):
    help = (
        "Looks at the database, the backplane's servers, the processes and the event handlers, and says what is wrong, whose doing it is "
        "and what to do. Changes nothing. Exits with 1 when something is wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="a JSON array, one object for each thing looked at"
        )
        parser.add_argument("--bad", action="store_true", help="only what is wrong")

    def answer(self, *args: Any, **options: Any) -> None:
        found = examine(durable_pod())
        bad = [one for one in found if one.level is Level.BAD]
        shown = bad if options["bad"] else found
        if options["json"]:
            self.document([{**dataclasses.asdict(one), "page": anchor(one.id)} for one in shown])
        else:
            for one in shown:
                self._line(one)
            self.stdout.write(f"{counted(len(bad), 'problem')}.")
        if bad:
            raise SystemExit(1)

    def _line(self, one: Finding) -> None:
        text = f"{one.level.upper():7}  {one.id}  {one.text}"
        if one.level is not Level.OK:
            text = (self.style.ERROR if one.level is Level.BAD else self.style.WARNING)(text)
        self.stdout.write(text)
        if one.hint:
            self.stdout.write(f"               {one.hint}")
        if one.level is Level.BAD:
            self.stdout.write(f"               {anchor(one.id)}")
