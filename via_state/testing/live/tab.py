"""What a tab shows, without a browser: a page, the real consumer and hub, and the protocol between them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.test import Client

from via_state.conf import settings
from via_state.live.protocol.codes import ASLEEP
from via_state.live.protocol.delta import Delta, apply
from via_state.live.protocol.frames import PROTOCOL
from via_state.live.protocol.vector import Order, Place, compare
from via_state.live.serving.consumer import TabConsumer
from via_state.live.serving.hubs import hub_here
from via_state.pod.default import current_pod, using_pod
from via_state.pod.pod import Pod
from via_state.testing.live.dom import Element, parse

#: Seconds that an expectation waits.
DEADLINE = 10.0


class Sent(NamedTuple):
    """A frame as the tab got it: kind "t", "h", "d", "=", "s", "k", "r" or "x"."""

    id: str
    at: dict[str, Any]
    kind: str
    rest: list[Any]


class Node:
    """A live place of the page."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.token = element.attributes["data-via"]
        self.id = element.attributes["data-via-id"]
        self.at: dict[str, Any] = json.loads(element.attributes.get("data-via-at", "{}"))
        self.html: str | None = None
        self.etag = ""
        self.gone = ""

    def vector(self) -> dict[str, Place]:
        """Where the state is that it shows."""
        return {key: Place(*place) for key, place in self.at.items()}

    def asked(self) -> list[Any]:
        """What the server is asked for it."""
        return [self.token, self.at, self.etag] if self.etag else [self.token, self.at]


class Connection(ABC):
    """What takes a tab's lines to a hub, and brings the hub's. ``count``: messages that came."""

    count = 0

    @abstractmethod
    def say(self, text: str | bytes) -> None:
        """Send a message."""

    @abstractmethod
    def cut(self, code: int = 1006) -> None:
        """End it, as a network does."""


class LiveTab:
    """A page that was opened with Django's test client, and its live connection. Made by `live_tab`."""

    def __init__(self, client: Client, path: str, pod: Pod | None = None) -> None:
        self.client, self.path = client, path
        self.pod = pod or current_pod()
        self.page = Element("#root", {})
        self.nodes: list[Node] = []
        self.frames: list[Sent] = []
        self.notices: list[str] = []
        self.signals: dict[str, Any] = {}
        self.byes: list[str] = []
        self.refused: list[str] = []
        self.closed: int | None = None
        self.ticket = ""
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        #: How many messages it has had on this connection, and whether it says so.
        self.received = 0
        self.acknowledges = True

    # The page ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the page, and connect."""
        response = self.load()
        assert response.status_code == 200, f"GET {self.path} answered {response.status_code}."
        if response.redirect_chain:
            self.path = urlsplit(response.redirect_chain[-1][0]).path
        self.page = parse(response.content.decode())
        scripts = self.page.find("script[data-via-page]")
        assert scripts, f"The page {self.path} has no {{% via_scripts %}}."
        self.ticket = scripts[0].attributes["data-via-page"]
        self.nodes = list(self._found(self.page))
        self.connect()

    def load(self) -> Any:
        """The page, from the pod that serves it."""
        with using_pod(self.pod):
            return self.client.get(self.path, follow=True)

    def _found(self, root: Element) -> Iterator[Node]:
        for element in root.all():
            if element.attributes.get("data-via"):
                yield Node(element)

    def text(self, selector: str) -> str:
        """The text of the first element that fits: ``tag``, ``#id``, ``.class``, ``[attribute=value]``, or these after a tag; spaces mean inside."""
        found = self.page.find(selector)
        assert found, f"{selector!r} is not on the page:\n{self.page}"
        return found[0].text

    def sees(self, selector: str, text: str) -> None:
        """Wait until the first element that fits shows this text."""
        self.until(
            lambda: self.text(selector) == text,
            lambda: f"{selector!r} shows {self.text(selector)!r}, not {text!r}.",
        )

    def is_gone(self, selector: str, why: str) -> None:
        """Wait until the node that fits was taken away: ``"denied"`` or ``"missing"``."""
        self.until(lambda: [one.attributes.get("data-via-gone") for one in self.page.find(selector)] == [why])

    def is_stale(self, selector: str) -> None:
        """Wait until the node that fits is marked as one that can't be followed for now."""
        self.until(lambda: all("data-via-stale" in one.attributes for one in self.page.find(selector)))

    def settled(self) -> None:
        """Wait until the tab has all that there is to show now."""
        self.pod.drain()
        connection = self._connection
        assert connection is not None, "The tab is not connected."
        with using_pod(self.pod):
            _on_loop(_settle(self.pod))

    def until(self, condition: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
        """Wait for something that frames bring. Shows the page where it does not come."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{why()}\n{self.page}\nframes: {self.frames[-5:]} byes: {self.byes} closed: {self.closed}"
                    )
                self._changed.wait(left)

    def submit(self, form: str = "form", **fields: Any) -> Any:
        """Send a form of the page as a browser does, with its own values and these."""
        element = self.page.find(form)[0]
        data = {
            one.attributes["name"]: one.attributes.get("value", "")
            for one in element.find("input")
            if one.attributes.get("name") and one.attributes.get("type") not in ("submit", "checkbox", "radio")
        }
        action = element.attributes.get("action") or self.path
        with using_pod(self.pod):
            return self.client.post(action, {**data, **fields})

    # The connection ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection, and wait until the server has answered for all nodes."""
        self.closed = None
        nodes = [one for one in self.nodes if not one.gone]
        self._connection = self.dial()
        self.say(hello=self.ticket, nodes=[one.asked() for one in nodes])

    def dial(self) -> Connection:
        """A new connection to the pod that serves it."""
        with using_pod(self.pod):
            return _Consumed(self._cookies(), self.heard, self.ended)

    def drop(self) -> None:
        """Lose the connection, as a network does."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut()

    def back(self) -> LiveTab:
        """Come back."""
        self.drop()
        self.connect()
        return self

    #: A hidden tab closes its connection, and comes back when it is looked at.
    wake = back

    def sleep(self) -> None:
        """Close the connection, as a tab does that nobody looks at."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut(ASLEEP)

    def on(self, pod: Pod) -> LiveTab:
        """Come back on another pod."""
        self.drop()
        self.pod = pod
        self.connect()
        return self

    def say(self, **message: Any) -> None:
        """A line of the protocol."""
        self.raw(json.dumps(message))

    def raw(self, text: str | bytes) -> None:
        """Anything at all, on the connection."""
        assert self._connection is not None, "The tab is not connected."
        self._connection.say(text)

    def _cookies(self) -> str:
        return "; ".join(f"{name}={morsel.value}" for name, morsel in self.client.cookies.items() if morsel.value)

    def ended(self, connection: Connection, code: int) -> None:
        """A connection was closed."""
        with self._changed:
            if connection is self._connection:
                self.closed = code
            self._changed.notify_all()

    def heard(self, connection: Connection, text: str) -> None:
        """A message came on a connection."""
        with self._changed:
            if connection is self._connection:
                connection.count += 1
                for line in filter(None, text.split("\n")):
                    self.hear(json.loads(line))
                self.received = connection.count
                if connection.count % 16 == 0 and self.acknowledges:
                    connection.say(json.dumps({"ack": connection.count}))
            self._changed.notify_all()

    def hear(self, message: dict[str, Any]) -> None:
        """A line of the protocol, from the server."""
        if "f" in message:
            for frame in message["f"]:
                self.take(Sent(frame[0], frame[1], frame[2], frame[3:]))
        if "no" in message:
            self.refused.append(message["no"][1])
        if "bye" in message:
            self.byes.append(message["bye"]["why"])
        if "hi" in message:
            self.ticket = message["hi"].get("page", self.ticket)
        if "b" in message:
            said = message["b"]
            if said["kind"] == "notify":
                self.notices.append(said["text"])
            elif said["kind"] == "signals":
                self.signals.update(said["values"])

    # Frames -----------------------------------------------------------------------------------------------

    def take(self, frame: Sent) -> None:
        """Do to the page what a frame says."""
        self.frames.append(frame)
        for node in [one for one in self.nodes if one.id == frame.id and not one.gone]:
            self._news(node, frame)

    def _news(self, node: Node, frame: Sent) -> None:
        attributes = node.element.attributes
        if frame.kind == "r":
            node.at = {}
        elif frame.kind == "s":
            attributes["data-via-stale"] = ""
        elif frame.kind == "k":
            node.token = attributes["data-via"] = frame.rest[0]
        elif frame.kind == "x":
            node.gone = attributes["data-via-gone"] = frame.rest[0]
            node.element.children = []
        elif frame.kind in "thd=":
            here = {key: Place(*place) for key, place in frame.at.items()}
            order = compare(node.vector(), here)
            assert order is not Order.AHEAD, f"The server went back: {node.at} was shown, and {frame} came."
            self._paint(node, frame)

    def _paint(self, node: Node, frame: Sent) -> None:
        rest = frame.rest
        if frame.kind == "d":
            base, head, tail, middle, etag = rest
            if node.html is None or node.etag != base:
                self.say(add=[[node.token, {}]])
                return
            rest = [apply(node.html, Delta(head, tail, middle)), etag]
        node.at = frame.at
        node.element.attributes.pop("data-via-stale", None)
        node.element.attributes["data-via-at"] = json.dumps(frame.at)
        if frame.kind in "hd":
            node.html, node.etag = rest
            self._fill(node, parse(rest[0]))
        elif frame.kind == "t":
            to = node.element.attributes.get("data-via-to", "text")
            if to == "text":
                node.element.children = [rest[0]]
            elif rest[0] is None:
                node.element.attributes.pop(to, None)
            else:
                node.element.attributes[to] = rest[0]

    def _fill(self, node: Node, content: Element) -> None:
        """A block's new children. Nodes in it that the page has already keep what they show; the others are asked for."""
        before = {one.id: one for one in self.nodes if one.element in list(node.element.all())}
        node.element.children = content.children
        fresh = []
        for element in node.element.all():
            if not element.attributes.get("data-via"):
                continue
            old = before.pop(element.attributes["data-via-id"], None)
            if old is None:
                self.nodes.append(Node(element))
                fresh.append(self.nodes[-1])
            else:
                element.children, kept = old.element.children, old.element.attributes
                element.attributes.update({name: kept[name] for name in kept if name.startswith("data-via")})
                old.element = element
        if fresh:
            self.say(add=[one.asked() for one in fresh])
        if before:
            self.nodes = [one for one in self.nodes if one not in before.values()]
            self.say(drop=list(before))


class _Consumed(Connection):
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


async def _settle(pod: Pod) -> None:
    await hub_here(pod).settle()


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


def _on_loop(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(DEADLINE)


@contextmanager
def live_tab(client: Client, path: str, *, pod: Pod | None = None) -> Iterator[LiveTab]:
    """A tab that has opened ``path`` with Django's test client, and follows it over the real consumer, without a socket or a browser.

    ``pod``: which pod serves it, where a test has several.
    """
    tab = LiveTab(client, path, pod)
    tab.open()
    try:
        yield tab
    finally:
        tab.drop()
