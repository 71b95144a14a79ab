"""How a tab of a test speaks with the consumer, on an event loop that all tabs of the process share."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context
from typing import Any

from via_state.conf import settings
from via_state.live.protocol.frames import PROTOCOL
from via_state.live.serving.consumer import TabConsumer

#: Seconds that an expectation waits.
DEADLINE = 10.0


class Connection(ABC):
    """What takes a tab's lines to a hub, and brings the hub's. ``count``: messages that came; ``size``: characters since it was
    acknowledged."""

    count = size = 0

    @abstractmethod
    def say(self, text: str | bytes) -> None:
        """Send a message."""

    @abstractmethod
    def cut(self, code: int = 1006) -> None:
        """End it, as a network does."""


class Consumed(Connection):
    """The consumer at work, on an event loop that all tabs of the process share."""

    def __init__(
        self, cookies: str, heard: Callable[[Connection, str], None], ended: Callable[[Connection, int], None]
    ) -> None:
        self._heard, self._over = heard, ended
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._scope = {
            "type": "websocket",
            "path": settings.LIVE_URL,
            "scheme": "ws",
            "subprotocols": [PROTOCOL],
            "headers": [
                (b"host", b"testserver"),
                (b"origin", b"http://testserver"),
                (b"cookie", cookies.encode("latin1")),
            ],
        }
        self._put({"type": "websocket.connect"})
        self._future = asyncio.run_coroutine_threadsafe(
            TabConsumer()(self._scope, self._receive, self._send), _loop()
        )

    def _put(self, message: dict[str, Any]) -> None:
        _loop().call_soon_threadsafe(self._inbox.put_nowait, message)

    def say(self, text: str | bytes) -> None:
        key = "text" if isinstance(text, str) else "bytes"
        self._put({"type": "websocket.receive", key: text})

    def cut(self, code: int = 1006) -> None:
        self._put({"type": "websocket.disconnect", "code": code})
        self._future.result(DEADLINE)

    async def _receive(self) -> dict[str, Any]:
        return await self._inbox.get()

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self._heard(self, message["text"])
        elif message["type"] == "websocket.close":
            self._over(self, message["code"])
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": message["code"]})


_lock = threading.Lock()
_shared: asyncio.AbstractEventLoop | None = None


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of all live tabs of this process."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = Context().run(asyncio.new_event_loop)  # it outlives the test
            threading.Thread(target=_shared.run_forever, name="via-state-live-tabs", daemon=True).start()
        return _shared


def on_loop(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(DEADLINE)
