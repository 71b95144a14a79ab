"""A worker whose background thread ends while it runs: ``python -m tests.cluster.ending_worker``."""

from __future__ import annotations

import threading
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.core.management import execute_from_command_line

    import tests.cluster.handler_state  # noqa: F401 - declares handlers
    from tests.runtime.test_loop import break_loop
    from via_state.management.commands.run_projectors import Command

    wait = Command._wait

    def end_and_wait(self: Command, pod: Any, worker: Any, stop: threading.Event) -> None:
        break_loop(pod.thread)
        wait(self, pod, worker, stop)

    Command._wait = end_and_wait  # type: ignore[method-assign]
    execute_from_command_line(["manage.py", "run_projectors"])


if __name__ == "__main__":
    main()
