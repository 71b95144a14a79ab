"""How much the drills do. ``VIA_TEST_VOLUME=4`` in the environment makes them do four times as much."""

from __future__ import annotations

import os

VOLUME = int(os.environ.get("VIA_TEST_VOLUME", "1"))
