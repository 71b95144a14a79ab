"""This process as one in which no tests run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.test.utils import setup_test_environment, teardown_test_environment


@contextmanager
def outside_of_tests() -> Iterator[None]:
    plugin: Any = sys.modules["via_state.testing.plugin"]
    debug = settings.DEBUG
    teardown_test_environment()
    plugin.running = False
    try:
        yield
    finally:
        plugin.running = True
        setup_test_environment(debug)
