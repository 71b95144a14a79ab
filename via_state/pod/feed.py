"""From the pod's loop to a reader in any other: the newest value, as an async iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from via_state.runtime.loop import LoopThread

T = TypeVar("T")


async def feed(
    thread: LoopThread, listeners: set[Callable[[], None]], value: Callable[[], T]
) -> AsyncGenerator[T, None]:
    """``value()`` now, and again each time the pod calls the listener this adds. Holds one value, never a queue."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def ring() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    async def listen() -> None:
        listeners.add(ring)

    await thread.acall(listen())
    try:
        while True:
            changed.clear()
            yield value()
            await changed.wait()
    finally:
        if thread.alive:
            thread.soon(listeners.discard, ring)
