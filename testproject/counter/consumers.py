"""The counter's button without a page: one press for each message, from a sync and from an async consumer."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

from testproject.counter.state import Counter, Tick


class PressConsumer(WebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Adds one for each message, whatever it says, and answers the total."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        offset = Counter.total.append(Tick())
        self.send(text_data=str(Counter.total.read(at_least=offset)))


class AsyncPressConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """The same, async."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        offset = await Counter.total.aappend(Tick())
        await self.send(text_data=str(await Counter.total.aread(at_least=offset)))
