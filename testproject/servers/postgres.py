"""A PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from testproject.servers.accounts import unprivileged_account
from testproject.servers.ports import HOST, free_port
from testproject.servers.postgres_binaries import postgres_binaries
from testproject.servers.process import Process, ServerError, run
from testproject.servers.secret import secret

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
    """A server over ``folder``; the data in it is used again by the next start.

    It lets in who knows the password, which is in the file that ``PGPASSFILE`` of `environment` names: ``passfile``, or one
    beside ``folder``. ``options``: further ones of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        passfile: Path | None = None,
        options: Mapping[str, str | int] | None = None,
    ) -> None:
        self.host = HOST
        self.port = port or free_port()
        self.folder = folder
        self.passfile = passfile or folder.with_name(f"{folder.name}.pgpass")
        self.account = unprivileged_account()
        self._bin = postgres_binaries()
        self._data = folder / "data"
        flags = [
            part
            for name, value in {**OPTIONS, **(options or {}), "port": self.port}.items()
            for part in ("-c", f"{name}={value}")
        ]
        self._hurried = (options or {}).get("fsync") == "off"
        self.process = Process(
            "PostgreSQL",
            [self._bin / "postgres", "-D", self._data, *flags],
            folder / "postgres.log",
            env=LOCALE,
            user=None if self.account is None else self.account.pw_uid,
            group=None if self.account is None else self.account.pw_gid,
            # SIGINT is PostgreSQL's fast shutdown: no lock and no recovery are left for the next start.
            death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            last_signal=signal.SIGQUIT,
            cwd=folder,
        )

    @property
    def dsn(self) -> str:
        """A libpq connection string for the ``postgres`` database."""
        return f"host={self.host} port={self.port} user={USER} dbname=postgres passfile={self.passfile}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the test project needs to use it."""
        return {"VIA_DATABASE_PORT": str(self.port), "PGPASSFILE": str(self.passfile)}

    def start(self) -> None:
        """Start, making the data folder first if there is none. Raises `ServerError`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.account is not None:
                os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
            made = (self._data / "PG_VERSION").exists()
            if made and not self.passfile.exists():
                raise ServerError(
                    f"The password of {self.folder} is gone, or there never was one. Remove that folder."
                )
            password = secret(self.passfile, f"*:*:*:{USER}:{{}}").rpartition(":")[2]
            if not made:
                self._initialise(password)
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

    def _initialise(self, password: str) -> None:
        # Renamed when it is whole, so that a start that was interrupted here leaves no half-made data folder.
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as given:  # readable by its owner only
            given.write(password)
            given.flush()
            if self.account is not None:
                os.chown(given.fileno(), self.account.pw_uid, self.account.pw_gid)
            # A generated password needs no slow hash, and a machine that makes a connection again and again has no time for one.
            login = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={given.name}", "-c", "scram_iterations=1"]
            hurry = ["--no-sync"] if self._hurried else []
            done = run(
                [self._bin / "initdb", "-D", new, *login, "-E", "UTF8", *COLLATION, *hurry],
                user=None if self.account is None else self.account.pw_uid,
                group=None if self.account is None else self.account.pw_gid,
                extra_groups=None if self.account is None else [],
                env={**os.environ, **LOCALE},
                cwd=self.folder,
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
        """Fast shutdown, whose checkpoint a slow disk makes long; an immediate one after that."""
        self.process.stop(PATIENCE)

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """A crash: no shutdown. Its children end when they notice; `start` waits for them and recovers."""
        self.process.kill()
