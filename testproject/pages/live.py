"""Pushes a value to a page whenever it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Protocol, cast

import msgspec
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer

from via_state.exceptions import ViaStateError

logger = logging.getLogger(__name__)

Scope = dict[str, Any]

#: Close codes. The page asks again after either.
TRY_AGAIN_LATER = 1013
NOTHING_TO_FOLLOW = 4001


class Followed(Protocol):
    """State that tells when it changes."""

    @property
    def key(self) -> str: ...

    @property
    def changes(self) -> Callable[[], Any]: ...


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Sends ``{"key": …, "value": …}`` at once, and again after each change. What the page sends is ignored.

    ``state`` finds in the connection's scope what to follow, or raises `DenyConnection`. The connection ends with
    `NOTHING_TO_FOLLOW` after a value that can't change, as that of a visitor without a session, and with
    `TRY_AGAIN_LATER` when the value can't be read.
    """

    def __init__(self, state: Callable[[Scope], Followed]) -> None:
        super().__init__()
        self._state = state
        self._following: asyncio.Task[None] | None = None

    async def __call__(self, *connection: Any) -> None:
        """However the connection ends (the page left, the server stops), nothing of it is left."""
        try:
            await super().__call__(*connection)
        finally:
            if self._following is not None:
                self._following.cancel()
                with suppress(asyncio.CancelledError):
                    await self._following

    async def connect(self) -> None:
        followed = self._state(self.scope)
        await self.accept()
        self._following = asyncio.create_task(self._follow(followed))

    async def _follow(self, followed: Followed) -> None:
        try:
            async with aclosing(cast(AsyncGenerator[object, None], followed.changes())) as values:
                async for value in values:
                    message = {"key": followed.key, "value": value}
                    await self.send(text_data=msgspec.json.encode(message).decode())
            code = NOTHING_TO_FOLLOW
        except ViaStateError as error:
            logger.warning("%r is not followed: %r", followed.key, str(error))
            code = TRY_AGAIN_LATER
        await self.close(code)


class RefusingConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """For paths that lead nowhere."""

    async def connect(self) -> None:
        raise DenyConnection
