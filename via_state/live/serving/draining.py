"""A process that ends sends its tabs to others first."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from via_state import health
from via_state.conf import settings
from via_state.live.serving.hubs import hubs_of
from via_state.pod.default import existing_pod

logger = logging.getLogger("via_state.live")

_installed = False


def draining() -> bool:
    """Whether this process sends its tabs away, and takes no more."""
    return health.draining()


def install() -> None:
    """Have SIGTERM send the tabs away before the server hears of it. In the main thread; elsewhere, and twice, it does nothing.

    A second signal goes straight to the server. So does the first, where the server has its signals from its event loop (hypercorn).
    """
    global _installed
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    _installed = True
    server = signal.getsignal(signal.SIGTERM)
    if not callable(server):
        return
    signal.signal(signal.SIGTERM, _handler(server))


def _handler(server: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
    def handle(number: int, frame: FrameType | None) -> None:
        pod = existing_pod()
        hubs = [] if pod is None else [hub for hub in hubs_of(pod) if hub.tabs]
        again, seconds = draining(), settings.LIVE_DRAIN
        drain()
        if again or not hubs or not seconds:
            server(number, frame)
            return
        for hub in hubs:
            hub.loop.call_soon_threadsafe(hub.send_away, seconds)
        loop = hubs[0].loop
        loop.call_soon_threadsafe(lambda: loop.call_later(seconds, server, number, frame))
        logger.info(
            "%s tabs are sent to other processes, within %s s.", sum(len(hub.tabs) for hub in hubs), seconds
        )

    return handle


def drain() -> None:
    """Not ready from now on, and no more tabs."""
    health.drain()
