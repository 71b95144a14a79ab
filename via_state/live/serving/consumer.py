"""The Channels consumer of a tab: reads what it says, and lets its hub write to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from channels.consumer import AsyncConsumer

from via_state.conf import settings
from via_state.live.protocol.codes import ASLEEP, RESTARTS, SIGNED_OUT, SLOW, UNASKED, VERSION
from via_state.live.protocol.content import Gone
from via_state.live.protocol.frames import (
    PONG,
    PROTOCOL,
    Asked,
    Garbage,
    Message,
    bye_line,
    decode,
    gone_frame,
    refusal_line,
    stale_frame,
)
from via_state.live.protocol.limits import MESSAGES_BURST, MESSAGES_RATE, TokenBucket
from via_state.live.rendering.renderer import apermitted
from via_state.live.serving.draining import draining
from via_state.live.serving.handshake import Refused, session_of, token_of, visitor_of
from via_state.live.serving.hub import Hub
from via_state.live.serving.hubs import hub_here
from via_state.live.serving.logins import logins
from via_state.live.serving.origin import allowed, host_of, scheme_of
from via_state.live.serving.refusals import fragment_failed, refuse
from via_state.live.serving.tab import Tab
from via_state.live.visitors.tokens import TokenRefused
from via_state.live.visitors.visitor import Visitor
from via_state.runtime.rng import rng

#: Seconds that a connection has to say who it is.
HELLO = 5.0
#: Seconds after which it is asked again whether a visitor may see a node, where that could not be told.
ASK_AGAIN = 5.0


class Later(Exception):
    """A connection that can't be served now."""


class TabConsumer(AsyncConsumer):  # type: ignore[misc]
    """It stands behind no middleware: the origin, the ticket and the cookie are all that it needs, and none of them asks a database,
    unless the session was over when somebody looked last."""

    #: Connections of this process, also those that have not said hello yet.
    open_sockets = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._tab: Tab | None = None
        self._hub: Hub | None = None
        self._closing: asyncio.Task[None] | None = None
        self._unasked: dict[str, asyncio.Task[None]] = {}
        if (await receive())["type"] != "websocket.connect":
            return
        if draining():
            await send({"type": "websocket.close", "code": RESTARTS})
            return
        if not allowed(scope):
            refuse("origin", "Its page is of another site; see ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS.")
            await send({"type": "websocket.close", "code": UNASKED})
            return
        if PROTOCOL not in scope.get("subprotocols", ()):
            await send({"type": "websocket.accept"})
            await self._say(bye_line("reload", int(rng.uniform(0, hub_here().spread))))
            await send({"type": "websocket.close", "code": VERSION})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        if TabConsumer.open_sockets >= settings.LIVE_TABS:
            refuse("full", "This process has as many live tabs as LIVE_TABS allows.")
            await send({"type": "websocket.close", "code": SLOW})
            return
        TabConsumer.open_sockets += 1
        try:
            await self._converse()
        finally:
            TabConsumer.open_sockets -= 1
            for again in self._unasked.values():
                again.cancel()
            if self._tab is not None:
                self._tab.close(1000)

    async def _converse(self) -> None:
        bucket = TokenBucket(MESSAGES_BURST, MESSAGES_RATE, time.monotonic())
        try:
            async with asyncio.timeout(HELLO):
                message = await self._receive()
            while message["type"] == "websocket.receive":
                if not bucket.take(time.monotonic()):
                    raise Garbage("A tab says too much.")
                for line in decode(message.get("text"), settings.LIVE_MESSAGE):
                    await self._take(line)
                if self._tab is not None and self._tab.closed:
                    break
                message = await self._receive()
            if self._tab is not None:
                self._tab.asleep = message.get("code") == ASLEEP
        except Garbage as error:
            refuse("garbage", str(error))
            await self._close(UNASKED)
        except TimeoutError:
            refuse("silent", "It says nothing.")
            await self._close(UNASKED)
        except Later as later:
            refuse("later", str(later))
            await self._close(SLOW)
        except Refused as refused:
            refuse(refused.why, "Its page was opened by somebody else, or long ago.")
            await self._say(bye_line(refused.why))
            await self._close(SIGNED_OUT)
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _take(self, message: Message) -> None:
        if (message.hello is None) is (self._tab is None):
            raise Garbage("A connection begins with one hello.")
        if message.hello is not None:
            await self._begin(message)
        tab = self._tab
        assert tab is not None
        if message.hello is not None or message.add is not None:
            await self._show(tab, message.add or message.nodes)
        elif message.drop is not None:
            for id in message.drop:
                if (seat := tab.seats.get(id)) is not None:
                    tab.leave(seat)
                if (again := self._unasked.pop(id, None)) is not None:
                    again.cancel()
        elif message.ack is not None:
            if not tab.acknowledge(message.ack):
                raise Garbage("A tab acknowledges what was not sent.")
        else:
            tab.line(PONG)

    async def _begin(self, message: Message) -> None:
        assert message.hello is not None
        secure, host = scheme_of(self._scope) == "https", host_of(self._scope) or ""
        session = session_of(self._scope)
        visitor = visitor_of(message.hello, session, host=host, secure=secure)
        hub = self._hub = hub_here()
        if logins.doubted(visitor.ticket.session) and await self._is_over(hub, visitor, session):
            raise Refused("signed-out")
        self._tab = Tab(hub, visitor, session, self._write, self._end)
        hub.enter(self._tab)
        self._tab.welcome()
        self._tab.flush()

    @staticmethod
    async def _is_over(hub: Hub, visitor: Visitor, session: str) -> bool:
        try:
            return await hub.is_over(visitor.ticket, session)
        except Exception as error:
            raise Later("It can't be told whether its visitor is still signed in.") from error

    async def _show(self, tab: Tab, nodes: list[Asked]) -> None:
        now = time.time()
        for asked in nodes:
            try:
                token = token_of(asked.token, tab.ticket, now)
            except TokenRefused:
                tab.line(refusal_line(asked.token, "token"))
                continue
            if token.spec.id not in tab.seats and len(tab.seats) >= settings.LIVE_NODES:
                refuse("limit", "A page has more live places than LIVE_NODES.")
                tab.line(refusal_line(asked.token, "limit"))
                continue
            try:
                if not await apermitted(token.spec, tab.visitor):
                    raise Gone("denied")
                assert self._hub is not None
                self._hub.watch(tab, token, asked)
            except Gone as gone:
                tab.answer(gone_frame(token.spec.id, gone.why))
            except Exception as error:  # a fault of one fragment of the project's, and not of the page's others
                fragment_failed(token.spec.name, error)
                tab.answer(stale_frame(token.spec.id))
                self._ask_again(tab, token.spec.id, asked)

    def _ask_again(self, tab: Tab, id: str, asked: Asked) -> None:
        """Whether the visitor may see this node could not be told."""

        async def later() -> None:
            await asyncio.sleep(ASK_AGAIN)
            self._unasked.pop(id, None)
            await self._show(tab, [asked])

        if id not in self._unasked:
            self._unasked[id] = asyncio.get_running_loop().create_task(later())

    def _write(self, text: str) -> Coroutine[Any, Any, None]:
        """Begun by the tab, thousands of times in a moment: with nothing around the server's own."""
        written: Coroutine[Any, Any, None] = self._send({"type": "websocket.send", "text": text})
        return written

    async def _say(self, text: str) -> None:
        await self._write(text)

    def _end(self, code: int) -> None:
        """The tab is closed: by its hub, or because this ends."""
        if code != 1000 and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._closed(code))

    async def _closed(self, code: int) -> None:
        with contextlib.suppress(Exception):  # it is gone already
            await self._send({"type": "websocket.close", "code": code})

    async def _close(self, code: int) -> None:
        if self._tab is not None:
            self._tab.close(code)
        else:
            await self._closed(code)
