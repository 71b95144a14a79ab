"""A worker whose background thread has ended does not pretend to work."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from django.db import connections

from tests.conftest import POSTGRES_ALIAS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


def test_a_worker_whose_loop_ends_exits_with_2_and_says_what_to_do() -> None:
    """Whoever runs it, systemd or Kubernetes, starts it again."""
    database = connections[POSTGRES_ALIAS].settings_dict
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.ending_worker"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            "VIA_DATABASE_PORT": str(database["PORT"]),
            "VIA_DATABASE_NAME": str(database["NAME"]),
            "VIA_PREFIX": uuid.uuid4().hex,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "runs 3 event handlers" in done.stdout
    assert done.returncode == 2, done.stderr
    assert "Restart the process" in done.stderr.splitlines()[-1]
