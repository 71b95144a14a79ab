"""The test project as a worker: ``manage.py run_projectors``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from testproject.servers.ports import HOST, free_port
from testproject.servers.process import Process
from testproject.servers.web import answers
from testproject.web_pod import PROJECT


class Worker:
    """Runs the event handlers; metrics are at ``url``. It logs into ``folder``."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._port = free_port()
        self.address = f"{HOST}:{self._port}"
        self.url = f"http://{self.address}"
        self.process = Process(
            "the worker",
            [sys.executable, "manage.py", "run_projectors", "--metrics-port", str(self._port)],
            folder / "worker.log",
            death_signal=signal.SIGKILL,
            env={"DJANGO_SETTINGS_MODULE": "testproject.settings", **env},
            cwd=PROJECT,
        )

    def start(self) -> None:
        """Start, and wait until it runs the handlers. Raises `ServerError`."""
        self.process.start(self.ready)

    def ready(self) -> bool:
        """Whether it runs the handlers."""
        return answers(self._port, "/readyz")
