"""Passwords and keys in files that only this account can read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from testproject.servers.process import ServerError


def secret(path: Path, form: str = "{}") -> str:
    """What the file holds; where there is none it is made, with a new password in the place of ``{}``. Raises `ServerError`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made aside and linked: of two that begin at the same time both read the same one, and whole.
        new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        new.touch(0o600, exist_ok=False)
        new.write_text(form.format(secrets.token_urlsafe(32)) + "\n")
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    about = path.lstat()
    if about.st_uid != os.geteuid() or about.st_mode & 0o177 or path.is_symlink():
        raise ServerError(f"{path} holds a password, and another account made it or can read it. Remove it.")
    return path.read_text().strip()
