"""A PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from testproject.servers.accounts import unprivileged_account
from testproject.servers.ports import HOST, free_port
from testproject.servers.postgres_binaries import postgres_binaries
from testproject.servers.process import Process, ServerError, end_with

USER = "postgres"  # the database role
# The same on every machine, whatever it has installed; messages in English.
LOCALE = {"LC_ALL": "C"}
COLLATION = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": 100,
    "max_wal_size": "256MB",
    "logging_collector": "off",
}
# What PostgreSQL says while processes of the server that had the folder before are still ending.
STILL_ENDING = ('lock file "postmaster.pid" already exists', "shared memory block")
PATIENCE = 20.0


class Postgres:
    """A server over ``folder``; the data in it is used again by the next start. Trusts everybody on loopback."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.host = HOST
        self.port = port or free_port()
        self.folder = folder
        self.account = unprivileged_account()
        self._bin = postgres_binaries()
        self._data = folder / "data"
        flags = [
            part for name, value in {**OPTIONS, "port": self.port}.items() for part in ("-c", f"{name}={value}")
        ]
        self.process = Process(
            "PostgreSQL",
            [self._bin / "postgres", "-D", self._data, *flags],
            folder / "postgres.log",
            env=LOCALE,
            user=None if self.account is None else self.account.pw_uid,
            # SIGINT is PostgreSQL's fast shutdown: no lock and no recovery are left for the next start.
            death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            cwd=folder,
        )

    @property
    def dsn(self) -> str:
        """A libpq connection string for the ``postgres`` database."""
        return f"host={self.host} port={self.port} user={USER} dbname=postgres"

    def start(self) -> None:
        """Start, making the data folder first if there is none. Raises `ServerError`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.account is not None:
                os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
        except PermissionError as error:
            raise ServerError(f"{error.filename} belongs to another account. Remove {self.folder}.") from None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.process.start(self._ready)
                return
            except ServerError as error:
                if time.monotonic() > deadline or not any(sign in str(error) for sign in STILL_ENDING):
                    raise
                time.sleep(0.1)

    def _initialise(self) -> None:
        # Renamed when it is whole, so that a start that was interrupted here leaves no half-made data folder.
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        parent = os.getpid()
        done = subprocess.run(
            [self._bin / "initdb", "-D", new, "-U", USER, "-A", "trust", "-E", "UTF8", *COLLATION],
            user=None if self.account is None else self.account.pw_uid,
            extra_groups=None if self.account is None else [],
            preexec_fn=lambda: end_with(parent, signal.SIGKILL),
            env={**os.environ, **LOCALE},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        new.rename(self._data)

    def _ready(self) -> bool:
        # The eighth line of this file is how the server tells its own tools. Asking the port instead might ask a stranger.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def stop(self) -> None:
        """Fast shutdown."""
        self.process.stop()

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """A crash: no shutdown. Its children end when they notice; `start` waits for them and recovers."""
        self.process.kill()
