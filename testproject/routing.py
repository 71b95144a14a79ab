"""Where the WebSockets are that are not those of live pages."""

from __future__ import annotations

from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path, re_path

from testproject.counter.consumers import AsyncPressConsumer, PressConsumer


class RefusingConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """For paths that lead nowhere."""

    async def connect(self) -> None:
        raise DenyConnection


websocket_urlpatterns = [
    path("ws/counter/press/", AsyncPressConsumer.as_asgi()),
    path("ws/counter/press/sync/", PressConsumer.as_asgi()),
    re_path("", RefusingConsumer.as_asgi()),
]
