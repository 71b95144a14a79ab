"""The site of `tests.live.stage` for an ASGI server."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

from via_state.live.asgi import live

application = live(get_asgi_application())

from tests.live import stage  # noqa: E402, F401 - a process that was asked for no page yet knows its state as well
