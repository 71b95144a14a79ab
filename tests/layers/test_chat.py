"""Channels' own tutorial, on our layer: who is in a room reads what is said there, in both processes, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from channels.layers import channel_layers
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.urls import re_path

from tests.layers.chat import AsyncChat, Chat
from tests.layers.conftest import Layer
from via_state.testing.conformance.harness import eventually


@asynccontextmanager
async def window(consumer: Any, layer: str, room: str) -> AsyncIterator[WebsocketCommunicator]:
    """Of a browser, in a process with this layer."""
    here: Any = type(consumer.__name__, (consumer,), {"channel_layer_alias": layer})
    application = URLRouter([re_path(r"ws/chat/(?P<room>\w+)/$", here.as_asgi())])
    browser = WebsocketCommunicator(application, f"/ws/chat/{room}/")
    assert (await browser.connect(10))[0]
    yield browser
    await browser.disconnect(10)


async def says(browser: WebsocketCommunicator, text: str) -> None:
    await browser.send_to(text_data=json.dumps({"message": text}))


async def reads(browser: WebsocketCommunicator) -> Any:
    return json.loads(await browser.receive_from(10))["message"]


@pytest.mark.django_db
@pytest.mark.parametrize("consumer", [Chat, AsyncChat])
async def test_what_is_said_in_a_room_is_read_there_in_both_processes(
    two: tuple[Layer, Layer], consumer: Any
) -> None:
    for alias, layer in zip(("here", "there"), two, strict=True):
        channel_layers.set(alias, layer)
    try:
        async with AsyncExitStack() as windows:
            ada, bob, eve = [
                await windows.enter_async_context(window(consumer, layer, room))
                for layer, room in (("here", "lobby"), ("there", "lobby"), ("there", "other"))
            ]
            await says(ada, "hello")
            assert [await reads(ada), await reads(bob)] == ["hello", "hello"]
            await says(bob, "hello, Ada ü")
            assert [await reads(ada), await reads(bob)] == ["hello, Ada ü"] * 2
            await says(eve, "is anybody here?")
            assert await reads(eve) == "is anybody here?"
            assert await ada.receive_nothing()
            assert await bob.receive_nothing()
        for layer in two:
            await eventually(lambda layer=layer: layer._groups == {}, "everybody left")  # type: ignore[misc]
    finally:
        for alias in ("here", "there"):
            channel_layers.backends.pop(alias, None)
