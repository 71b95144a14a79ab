"""Pages for the client script, in a browser but without a server: Playwright answers for `ORIGIN`."""

from __future__ import annotations

import json
from contextlib import suppress
from html import escape
from typing import Any

from playwright.sync_api import Browser, Error, Page, Request, Route, WebSocketRoute

from client.build import BUILT, VALIDATE, bundle

ORIGIN = "http://live.test"
CSP = (
    "default-src 'none'; script-src 'nonce-abc'; connect-src 'self' ws://live.test; form-action 'self'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types via"
)
#: What tests call of the client's modules, under `window.client`.
EXPOSED = """
import * as morph from "./morph.js"; import * as vector from "./vector.js"; import * as page from "./page.js";
globalThis.client = { ...morph, ...vector, ...page };
"""


def document(body: str, **settings: str) -> str:
    """A page as the template tags make it."""
    data = {
        "page": "ticket",
        "url": "/via/live/",
        "sleep": "300",
        "poll": "",
        "csrf": "token-of-this-page",
        **settings,
    }
    attributes = " ".join(f'data-via-{name}="{escape(value)}"' for name, value in data.items())
    return (
        f'<!doctype html><html><head><title>x</title><script type="module" nonce="abc" src="/via-1.js" {attributes}></script></head>'
        f"<body>{body}</body></html>"
    )


#: What a page has as well where its forms say what is wrong while they are filled in.
VALIDATES = '<script type="module" nonce="abc" src="/via-validate-1.js" data-via-header="X-CSRFToken"></script>'


def node(id: str, content: str, at: dict[str, Any], tag: str = "div", more: str = "") -> str:
    """A live place of such a page. Its token is its id and ``-token``."""
    return f'<{tag} data-via="{id}-token" data-via-id="{id}" data-via-at="{escape(json.dumps(at))}" {more}>{content}</{tag}>'


#: What a room has shown, at three moments.
ONE, TWO, THREE = ({"room": ["e", offset, f"r{offset}"]} for offset in (1, 2, 3))
ROOM = node("room", "<ol><li>one</li></ol>", ONE)


class LivePage:
    """A page whose server is the test."""

    def __init__(
        self, browser: Browser, body: str, *, exposed: bool = False, opens: bool = True, **settings: str
    ) -> None:
        self.page: Page = browser.new_page()
        self.errors: list[str] = []
        self.said: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []
        self.posts: list[Any] = []
        #: What forms ask while they are filled in, and what that is answered. ``None``: nothing yet.
        self.asks: list[Request] = []
        self.judge: dict[str, Any] | None = {"status": 204}
        self.waiting: list[Route] = []
        #: Whether a socket opens; whether nothing that is said is answered.
        self.opens, self.mute = opens, False
        #: What a POST is answered.
        self.answer: dict[str, Any] = {"status": 204}
        self.body = document(body, **settings)
        script = bundle(source=EXPOSED) if exposed else BUILT.read_bytes()
        self._script = script.decode()
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.route(f"{ORIGIN}/**", self._route)
        self.page.route_web_socket(f"{ORIGIN.replace('http', 'ws')}/**", self._socket)
        self.page.goto(f"{ORIGIN}/page/")

    def _route(self, route: Route) -> None:
        request = route.request
        if request.url.endswith("/via-1.js"):
            route.fulfill(body=self._script, content_type="text/javascript")
        elif request.method == "POST":
            self.posts.append(request.post_data)
            route.fulfill(**self.answer)
        elif request.url.endswith("/via-validate-1.js"):
            route.fulfill(body=VALIDATE.read_text(), content_type="text/javascript")
        elif request.method == "QUERY":
            self.asks.append(request)
            route.fulfill(**self.judge) if self.judge is not None else self.waiting.append(route)
        else:
            route.fulfill(body=self.body, content_type="text/html", headers={"Content-Security-Policy": CSP})

    def _socket(self, socket: WebSocketRoute) -> None:
        if not self.opens:
            socket.close(code=1011)
            return
        self.sockets.append(socket)
        socket.on_message(lambda text: self._hear(socket, str(text)))

    def _hear(self, socket: WebSocketRoute, text: str) -> None:
        message = json.loads(text)
        self.said.append(message)
        if self.mute:
            return
        if "hello" in message:
            self.tell(socket, {"hi": {"pod": "pod", "spread": 50}})
        if "ping" in message:
            self.tell(socket, {"pong": 1})

    def tell(self, socket: WebSocketRoute, *lines: dict[str, Any]) -> None:
        socket.send("\n".join(map(json.dumps, lines)))

    def frame(self, *frames: list[Any]) -> None:
        """Send frames over the newest socket."""
        self.tell(self.sockets[-1], {"f": frames})

    def online(self) -> None:
        self.until("document.documentElement.dataset.viaConnection === 'online'")

    def until(self, condition: str) -> None:
        """Wait until an expression is true. The page's policy forbids Playwright's own way."""
        for _ in range(400):
            with suppress(Error):  # the page may be about to load
                if self.page.evaluate(condition):
                    return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"{condition}\n{self.page.content()}\n{self.errors}\n{self.said}")

    def heard(self, wanted: Any) -> dict[str, Any]:
        """The first message from the page for which ``wanted`` is true."""
        for _ in range(400):
            for message in self.said:
                if wanted(message):
                    return message
            self.page.wait_for_timeout(25)
        raise AssertionError(self.said)

    def __enter__(self) -> LivePage:
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()
