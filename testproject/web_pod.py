"""The test project as a web process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from testproject.servers.ports import HOST, free_port
from testproject.servers.process import Process
from testproject.servers.web import answers

PROJECT = Path(__file__).resolve().parent.parent


class WebPod:
    """Uvicorn on a port of its own, which it keeps when it is started again; it logs into ``folder``."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], port: int | None = None) -> None:
        self.name = name
        self.port = port or free_port()
        self.address = f"{HOST}:{self.port}"
        self.url = f"http://{self.address}"
        command = [sys.executable, "-m", "uvicorn", "testproject.asgi:application", "--log-level", "warning"]
        command += [
            "--loop",
            "asyncio",
            "--host",
            HOST,
            "--port",
            str(self.port),
            "--timeout-graceful-shutdown",
            "2",
        ]
        self.process = Process(
            name,
            command,
            folder / f"{name.replace(' ', '-')}.log",
            death_signal=signal.SIGKILL,  # its port is free again at once
            env={"DJANGO_SETTINGS_MODULE": "testproject.settings", "VIA_POD_NAME": name, **env},
            cwd=PROJECT,
        )

    def start(self) -> None:
        """Start, and wait until it answers. Raises `ServerError`."""
        self.process.start(self.answers)

    def answers(self) -> bool:
        """Whether it serves the first page."""
        return answers(self.port, "/")
