"""Over the channel layer of ``CHANNEL_LAYERS``, whichever it is: its groups are all that is used.

The servers of some layers forget who is in a group when they restart, and what comes out of a layer may be anybody's. So the membership
is said again every few seconds and after every error, and each message is sealed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from via_state.backplanes.base import Hear
from via_state.conf import settings
from via_state.live.announcing.carriers.base import TOPIC, Carrier
from via_state.pod.sealing import OVERHEAD, Sealer
from via_state.runtime.backoff import Backoff

logger = logging.getLogger("via_state.live")

ALIAS = "default"
TYPE = "via.live"
#: Characters of the text in one message.
MAX_TEXT = 100_000
#: Seconds between two joinings, which is how long a lost membership can last; a joining or a publication may take no longer.
JOIN = 3.0
TIMEOUT = 5.0


def make_layer() -> Any:
    """A layer of our own, as ``CHANNEL_LAYERS`` describes it. That of consumers receives on their event loop, and may on no other."""
    from channels.layers import channel_layers

    return channel_layers.make_backend(ALIAS)


def group_name() -> str:
    """A group for each ``PREFIX``, of characters that Channels takes."""
    name = f"{settings.PREFIX}-live"
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,99}", name):
        return name
    return f"via-live-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"


class LayerCarrier(Carrier):
    """One channel of ours, in one group."""

    name = "layer"
    max_bytes = MAX_TEXT * 3 // 4 - OVERHEAD

    def __init__(self, make: Callable[[], Any] = make_layer) -> None:
        self._make = make
        self._made: Any = None
        self._group = group_name()
        self._sealer = Sealer()
        self._channel: str | None = None
        self._joined = asyncio.Event()
        self._down: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def _layer(self) -> Any:
        if self._made is None:
            self._made = self._make()
            if hasattr(type(self._made), "brpop_timeout"):
                self._made.brpop_timeout = (
                    2  # redis-py 8 gives up after 5 s, as this does: what came just then was lost
                )
        return self._made

    async def publish(self, data: bytes) -> None:
        text = base64.b64encode(self._sealer.seal(TOPIC, data)).decode()
        async with asyncio.timeout(TIMEOUT):
            await self._layer.group_send(self._group, {"type": TYPE, "d": text})

    def hear(self, hear: Hear) -> None:
        tasks = asyncio.get_running_loop()
        self._tasks = [tasks.create_task(self._receive(hear)), tasks.create_task(self._stay())]

    async def holds(self) -> None:
        await self._joined.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._made is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TIMEOUT):
                    await _disconnect(self._made)

    async def _receive(self, hear: Hear) -> None:
        """Receive, for ever. What the layer raises may be an outage, garbage that it can't read, or its patience with silence."""
        backoff = Backoff(0.05, 1.0)
        while True:
            try:
                await self._join()
            except Exception as error:
                self._failed(error)
                await backoff.pause()
                continue
            with contextlib.suppress(Exception):
                while True:
                    message = await self._layer.receive(self._channel)
                    backoff = Backoff(0.05, 1.0)
                    self._heard(message, hear)
            await backoff.pause()

    async def _stay(self) -> None:
        """Join again and again, for ever."""
        while True:
            await asyncio.sleep(JOIN)
            if self._channel is not None:
                with contextlib.suppress(Exception):  # the receiver meets it, too, and says so
                    await self._join()

    async def _join(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            if self._channel is None:
                self._channel = await self._layer.new_channel(TYPE)
            await self._layer.group_add(self._group, self._channel)
        self._joined.set()
        if self._down is not None:
            logger.warning("The channel layer is back after %.1f s.", time.monotonic() - self._down)
            self._down = None

    def _failed(self, error: Exception) -> None:
        if self._joined.is_set():
            self._joined.clear()
        if self._down is None:
            self._down = time.monotonic()
            logger.warning(
                "Broadcasts of other processes are not received from the channel layer: %r. It is tried again.",
                error,
            )

    def _heard(self, message: Any, hear: Hear) -> None:
        text = message.get("d") if isinstance(message, dict) else None
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            self._sealer.drop(TOPIC, "form", "it is not one of ours")
            return
        try:
            sealed = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            sealed = b""
        data = self._sealer.open(TOPIC, sealed)
        if data is not None:
            hear(data)


async def _disconnect(layer: Any) -> None:
    """Close its connections, and delete nothing on its server."""
    if hasattr(type(layer), "close_pools"):
        await layer.close_pools()
    elif type(layer).__name__ == "RedisPubSubChannelLayer":
        await layer.flush()  # of this process alone
