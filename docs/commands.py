"""``python -m docs.commands`` writes docs/commands.md: what each command says with ``--help``, without the options that Django adds to all."""

from __future__ import annotations

import argparse
from pathlib import Path

import django
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import DjangoHelpFormatter

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100
HEAD = """# Commands in full

<!-- Written by: python -m docs.commands -->

What `manage.py COMMAND --help` says, without the options that Django adds to every command (`--settings`, `--traceback`, `--verbosity` and the like).
[The reference](reference.md#commands) has a line for each, with exit codes.
"""


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=WIDTH)


def names() -> list[str]:
    """The commands of via_state."""
    return sorted(name for name, app in get_commands().items() if app == "via_state")


def help_of(name: str) -> str:
    """The help of a command, laid out in one width, and alike for each version of Python."""
    parser = load_command_class("via_state", name).create_parser("manage.py", name)
    for action in parser._actions:
        if DjangoHelpFormatter.show_last.union({"--help"}) & set(action.option_strings):
            action.help = argparse.SUPPRESS
    parser.formatter_class = _Formatter
    return parser.format_help().strip()


def as_markdown() -> str:
    """The page. Where Django is set up."""
    return "\n".join([HEAD, *(f"## {name}\n\n```text\n{help_of(name)}\n```\n" for name in names())])


def main() -> None:
    settings.configure(
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "via_state",
        ]
    )
    django.setup()
    PAGE.write_text(as_markdown())


if __name__ == "__main__":
    main()
