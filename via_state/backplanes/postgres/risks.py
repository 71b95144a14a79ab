"""What ``check --deploy`` says about the connections to PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from via_state.backplanes.network import is_loopback

#: Values of ``sslmode`` with which nothing is sent in clear.
ENCRYPTED = ("require", "verify-ca", "verify-full")


def risks(*aliases: str | None) -> Iterator[CheckMessage]:
    """W021: a password, and state, that the network can read."""
    for alias in dict.fromkeys(filter(None, aliases)):
        database = settings.DATABASES.get(alias)
        if database is not None and _in_clear(database):
            yield Warning(
                f"The password of the database {alias!r} goes to another machine, and nothing says that it must be encrypted: "
                "by default a server, or somebody in its place, may choose clear text.",
                hint="Write 'sslmode': 'verify-full', and 'sslrootcert', in its OPTIONS. If something else encrypts what "
                "goes there, silence this check.",
                id="via_state.W021",
            )


def _in_clear(database: dict[str, Any]) -> bool:
    options = database.get("OPTIONS") or {}
    hosts = str(database.get("HOST") or "").split(",")
    elsewhere = any(host and not host.startswith(("/", "@")) and not is_loopback(host) for host in hosts)
    mode = options.get("sslmode", os.environ.get("PGSSLMODE", "prefer"))
    known = "service" not in options  # such a file may say anything
    return bool(database.get("PASSWORD")) and elsewhere and known and mode not in ENCRYPTED
