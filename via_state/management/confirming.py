"""Asking before something is done that can't be undone."""

from __future__ import annotations

import sys

from django.core.management.base import BaseCommand, CommandError, CommandParser


def add_no_input_argument(parser: CommandParser) -> None:
    """``--no-input``, as Django's own commands have it."""
    parser.add_argument(
        "--no-input",
        "--noinput",
        action="store_false",
        dest="interactive",
        help="do not ask: for scripts",
    )


def confirm(command: BaseCommand, text: str, *, interactive: bool) -> None:
    """Say ``text``, and ask whether to continue. Raises `CommandError` unless the answer is yes."""
    command.stdout.write(command.style.WARNING(text))
    if not interactive:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "Nobody can be asked here; nothing was changed. Repeat it with --no-input.", returncode=2
        )
    if input("Type 'yes' to continue: ").strip() != "yes":
        raise CommandError("Nothing was changed.", returncode=2)
