"""Prometheus' own judge of rules and expositions, from the system's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path, given: bytes = b"") -> str:
    """What it says about something that is well; the test fails with what it says otherwise.

    Without it the test is skipped; under CI it fails, because there nothing may go untested.
    """
    path = shutil.which("promtool")
    if path is None:
        missing = "There is no promtool. On Debian and Ubuntu: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run([path, *arguments], input=given, capture_output=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
