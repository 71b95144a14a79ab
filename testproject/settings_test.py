"""Settings of the test session: SQLite in memory, and a second database on a PostgreSQL that the session starts."""

from __future__ import annotations

import os
import secrets

from testproject.servers.ports import free_port

# Random for each run, the same for the child processes.
os.environ.setdefault("VIA_SECRET_KEY", secrets.token_urlsafe(32))
NATS_TOKEN = os.environ.setdefault("VIA_TEST_NATS_TOKEN", secrets.token_urlsafe(32))

from testproject.settings import *  # noqa: E402, F403
from testproject.settings import INSTALLED_APPS, postgres  # noqa: E402

# pytest-django reads settings before the fixtures start servers, so the port is chosen here. Child processes of the
# tests import this module again and must find the same one; another worker of pytest-xdist has servers of its own.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
POSTGRES_PORT = int(os.environ.setdefault(f"VIA_TEST_POSTGRES_PORT{_worker}", str(free_port())))
NATS_PORT = int(os.environ.setdefault(f"VIA_TEST_NATS_PORT{_worker}", str(free_port())))
POSTGRES_NAME = "postgres"

INSTALLED_APPS = [*INSTALLED_APPS, "via_state.backplanes.postgres"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    # Usable without the other one.
    "postgres": {**postgres(str(POSTGRES_PORT), POSTGRES_NAME), "TEST": {"DEPENDENCIES": []}},
}
VIA_STATE = {}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
