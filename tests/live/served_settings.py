"""The site of `tests.live.stage` for a web server. ``VIA_TEST_STAGE`` stands before each line of a room, as a changed template has it."""

from __future__ import annotations

import os

from testproject.settings import *  # noqa: F403
from tests.live.templates import TEMPLATES as STAGED
from tests.live.templates import setting

_room = "stage/room.html"
TEMPLATES = setting(
    {**STAGED, _room: STAGED[_room].replace("<li>", "<li>" + os.environ.get("VIA_TEST_STAGE", ""))}
)
ROOT_URLCONF = "tests.live.served"
ASGI_APPLICATION = "tests.live.served.application"
CHANNEL_LAYERS = {}
