"""``manage.py move_state``: bring logs and cells from another backplane to the one of the settings."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.module_loading import import_string
from django.views.debug import SafeExceptionReporterFilter

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.management.base import StateCommand, counted
from via_state.operations.logs import durable_pod
from via_state.operations.state_move import StateMove
from via_state.pod.pod import Pod


class Command(StateCommand):
    help = (
        "Copies all logs, with their record ids, and all cells from another backplane to the one that VIA_STATE names, and "
        "lets snapshots, event handlers and dead letters continue there. Stop every web process and worker first. The "
        "other backplane is only read. Interrupted, it continues where it was when it is called again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="dotted path of the old backend, as it was in VIA_STATE['BACKEND']")
        parser.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=(
                "one of the old backend's OPTIONS, the value as JSON or as plain text; NAME=env:VARIABLE takes the value of an "
                "environment variable, as secrets need; may be given several times"
            ),
        )
        parser.add_argument("--dry-run", action="store_true", help="say what there is, and copy nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        pod = durable_pod()
        if options["source"] == settings.BACKEND and not options["option"]:
            raise CommandError(
                "Source and target are the same backend. Set VIA_STATE['BACKEND'] to the new one, and pass the old one as SOURCE.",
                returncode=2,
            )
        source = _source(options["source"], options["option"])
        try:
            self._move(pod, source, options["dry_run"])
        finally:
            pod.thread.call(source.close())

    def _move(self, pod: Pod, source: Backplane, dry: bool) -> None:
        move = StateMove(pod, source, dry=dry)
        cells = 0 if dry else move.cells()
        for done in move.logs():
            self.progress(f"{counted(done.logs, 'log')}, {counted(done.records, 'record')}")
        self.progress("")
        done = move.done
        if dry:
            self.stdout.write(f"{counted(done.logs, 'log')} would be moved, and the cells.")
            return
        self.stdout.write(
            self.style.SUCCESS(
                f"{counted(done.logs, 'log')} with {counted(done.records, 'record')} and {counted(cells, 'cell')} are on {settings.BACKEND}, and were compared; "
                f"{done.rows:,} snapshots, handler positions and dead letters continue there."
            )
        )


def _source(path: str, given: list[str]) -> Backplane:
    try:
        backend = import_string(path)
    except ImportError as error:
        raise CommandError(f"{path!r} can't be imported: {error}.", returncode=2) from error
    if not (isinstance(backend, type) and issubclass(backend, Backplane) and backend.durable):
        raise CommandError(f"{path!r} is not a backplane that keeps anything.", returncode=2)
    options: dict[str, Any] = {"DATABASE": settings.DATABASE, "PREFIX": settings.PREFIX}
    for one in given:
        name, value = _named(one)
        options[name] = value
    if wrong := backend.check(options):
        raise CommandError("\n".join(f"{one.msg} {one.hint}" for one in wrong), returncode=2)
    return backend(options)


def _named(option: str) -> tuple[str, Any]:
    """An option's name and value. Raises `CommandError`, which shows no value."""
    name, equals, text = option.partition("=")
    if not equals:
        raise CommandError("--option: write NAME=VALUE, or NAME=env:VARIABLE.", returncode=2)
    secret = SafeExceptionReporterFilter.hidden_settings.search(name) is not None
    if text.startswith("env:"):
        variable = text.removeprefix("env:")
        if variable not in os.environ:
            raise CommandError(f"--option {name}: there is no environment variable {variable!r}.", returncode=2)
        text = os.environ[variable]
    elif secret or "@" in text:
        raise CommandError(
            f"--option {name}: every account of this machine can see the arguments of a command, so what may be a secret is "
            f"not taken from there. Put it into an environment variable and write: --option {name}=env:VARIABLE. Change "
            "the one that you have just given.",
            returncode=2,
        )
    if secret:
        return name, text  # digits are a password as well
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
