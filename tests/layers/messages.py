"""What tests send and receive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.layers.conftest import Layer

Message = dict[str, Any]


def of(number: int) -> Message:
    return {"type": "message", "number": number}


async def soon(coming: Coroutine[Any, Any, Message]) -> Message:
    return await asyncio.wait_for(coming, 10)


async def numbers(layer: Layer, channel: str, count: int) -> list[int]:
    """What comes next."""
    return [(await soon(layer.receive(channel)))["number"] for _ in range(count)]


async def nothing(layer: Layer, channel: str) -> None:
    """Nothing comes: a message that follows is the first."""
    await layer.send(channel, {"type": "follows"})
    assert await soon(layer.receive(channel)) == {"type": "follows"}
