"""The web process of a benchmark: live pages; and beside them a bare application that sends to all sockets what it is posted."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from via_state.live.asgi import live

application = live(get_asgi_application())


def quick(request: HttpRequest) -> HttpResponse:
    """A page of the same process."""
    return HttpResponse("quick")


urlpatterns = [path("quick/", quick)]

_sends: dict[Any, None] = {}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Raw: what is posted is sent to each socket, one after the other."""
    if scope["type"] == "http":
        text = (await receive())["body"].decode()
        for one in list(_sends):
            await one({"type": "websocket.send", "text": text})
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"f":[]}'})
    _sends[send] = None
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        del _sends[send]
