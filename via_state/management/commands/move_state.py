"""``manage.py move_state``: bring logs and cells from another backplane to the one of the settings."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django.views.debug import SafeExceptionReporterFilter

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.management.base import StateCommand, counted
from via_state.management.copy_backplane import Mover
from via_state.management.selection import durable_pod
from via_state.management.translate_positions import offsets_of, translate
from via_state.models import HandlerWorker, OutboxRecord
from via_state.pod.pod import Pod


class Command(StateCommand):
    help = (
        "Copies all logs, with their record ids, and all cells from another backplane to the one that VIA_STATE names, and "
        "lets snapshots, event handlers and dead letters go on there. Stop every web process and worker first. The "
        "other backplane is only read. Interrupted, it goes on where it was when it is called again."
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
                f"{settings.BACKEND} is what VIA_STATE names. Set VIA_STATE['BACKEND'] to the new one, and give the old one here.",
                returncode=2,
            )
        source = _source(options["source"], options["option"])
        try:
            self._move(pod, source, options["dry_run"])
        finally:
            pod.thread.call(source.close())

    def _move(self, pod: Pod, source: Backplane, dry: bool) -> None:
        if not dry:
            _check_quiet()
        mover = Mover(source, pod.backplane)
        logs = records = rows = 0
        after = ""
        while page := pod.thread.call(source.logs(after)):
            for after in page:
                if not dry:
                    moved = pod.thread.call(mover.log(after, offsets_of(after)))
                    records, rows = records + moved.records, rows + translate(after, moved)
                logs += 1
                self.progress(f"{counted(logs, 'log')}, {counted(records, 'record')}")
        self.progress("")
        if dry:
            self.stdout.write(f"{counted(logs, 'log')} would be moved, and the cells.")
            return
        cells = pod.thread.call(mover.cells())
        self.stdout.write(
            self.style.SUCCESS(
                f"{counted(logs, 'log')} with {counted(records, 'record')} and {counted(cells, 'cell')} are on {settings.BACKEND}, and were compared; "
                f"{rows:,} snapshots, handler positions and dead letters go on there."
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


def _check_quiet() -> None:
    """Raise `CommandError` while somebody is at work, or something waits to be appended."""
    workers = HandlerWorker.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX, lease_until__gt=Now())
    if (worker := workers.first()) is not None:
        raise CommandError(
            f"A worker is running ({worker}). Stop all workers and web processes first.", returncode=2
        )
    waiting = OutboxRecord.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX).count()
    if waiting:
        raise CommandError(
            f"The outbox is not empty ({counted(waiting, 'append')}). With the old backend in VIA_STATE run: "
            "manage.py run_projectors --until-caught-up",
            returncode=2,
        )
