"""The account that runs what refuses to run as root, and what it can read."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from testproject.servers.process import ServerError


@cache
def unprivileged_account() -> pwd.struct_passwd | None:
    """None for ordinary users. For root: ``nobody``, or else the first account that programs can be run under."""
    if os.geteuid() != 0:
        return None
    for account in sorted(pwd.getpwall(), key=lambda one: one.pw_name != "nobody"):
        if account.pw_uid != 0 and _usable(account):
            return account
    raise ServerError(
        "PostgreSQL refuses to run as root, and there is no other account here. Run this as another user."
    )


def _usable(account: pwd.struct_passwd) -> bool:
    try:  # a container may not have mapped the account
        return (
            subprocess.run(
                ["/bin/sh", "-c", ":"], user=account.pw_uid, group=account.pw_gid, extra_groups=[], check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def readable_by_others(path: Path) -> bool:
    """Whether an unprivileged account can enter ``path`` and read it."""
    real = path.resolve()
    folders = {path, *path.absolute().parents, real, *real.parents}
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def shared_folder(preferred: Path | None = None) -> Path:
    """A folder for temporary things that every account can enter: ``preferred``, or else the usual ones."""
    for folder in (preferred or Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if folder.is_dir() and readable_by_others(folder):
            return folder
    raise ServerError(
        "PostgreSQL's account can enter neither /tmp nor /var/tmp. Run this as another user than root."
    )
