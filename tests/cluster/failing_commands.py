"""``python -m tests.cluster.failing_commands``: runs every command as manage.py does, and says as JSON how each ended."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import django
from django.conf import settings

COMMANDS = [
    ["compact_state"],
    ["forget_owner", "--user", "7"],
    ["move_state", "via_state.backplanes.postgres.PostgresBackplane", "--option", "PREFIX=other"],
    ["prune_dead_letters", "--older-than", "1d"],
    ["replay_dead_letters"],
    ["replay_outbox"],
    ["resume_handler", "ship", "head"],
    ["rename_handler", "ship", "send"],
    ["retire_handler", "ship"],
    ["retire_snapshots"],
    ["run_projectors", "--until-caught-up"],
    ["state_doctor"],
    ["state_load", "--seconds", "0.1"],
    ["state_overview"],
    ["state_status"],
]


def main() -> None:
    django.setup()
    from django.core.management import execute_from_command_line

    import tests.cluster.shared_state  # noqa: F401 - declares logs
    from via_state.runtime import outage

    settings.SILENCED_SYSTEM_CHECKS = ["via_state.W009"]  # declared late, on purpose
    outage.LONG = 0.2  # seconds that a command waits for a server, where it waits
    ends = {}
    for command in COMMANDS:
        said, code = io.StringIO(), 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                execute_from_command_line(["manage.py", *command])
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
        ends[command[0]] = [code, said.getvalue()]
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main()
