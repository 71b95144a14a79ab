"""What a tab shows, without a browser: a page, the real consumer and hub, and the protocol between them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from django.test import AsyncClient, Client

from via_state.live.protocol.codes import ASLEEP
from via_state.live.rendering.drafts import METHOD, WORD
from via_state.live.rendering.written import ASKED
from via_state.live.serving.hubs import hub_here
from via_state.pod.default import current_pod, using_pod
from via_state.pod.pod import Pod
from via_state.testing.live import connection
from via_state.testing.live.connection import Connection, Consumed, on_loop
from via_state.testing.live.databases import let_threads_read
from via_state.testing.live.dom import Element, parse
from via_state.testing.live.forms import PageForm
from via_state.testing.live.page import PaintedPage, Sent


class LiveTab(PaintedPage):
    """A page that was opened with Django's test client, and its live connection. Made by `live_tab`."""

    def __init__(self, client: Client | AsyncClient, path: str, pod: Pod | None = None) -> None:
        super().__init__()
        let_threads_read()
        self.client: Any = client
        self.path = path
        self.pod = pod or current_pod()
        self.notices: list[str] = []
        self.signals: dict[str, Any] = {}
        self.byes: list[str] = []
        self.refused: list[str] = []
        self.closed: int | None = None
        self.ticket = ""
        #: What was typed into the forms of the page and not sent yet.
        self.drafts: dict[str, dict[str, Any]] = {}
        #: Within how many milliseconds it would come back if its server ended.
        self.spread = 0
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        #: How many messages it has had on this connection, and whether it says so.
        self.received = 0
        self.acknowledges = True

    # The page ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the page, and connect."""
        self.show(self.load())

    def show(self, response: Any) -> None:
        """The page was loaded: connect."""
        assert response.status_code == 200, f"GET {self.path} answered {response.status_code}."
        if response.redirect_chain:
            self.path = urlsplit(response.redirect_chain[-1][0]).path
        self.load_page(response.content.decode())
        scripts = self.page.find("script[data-via-page]")
        assert scripts, f"The page {self.path} has no {{% via_scripts %}}."
        self.ticket = scripts[0].attributes["data-via-page"]
        self.connect()

    def load(self) -> Any:
        """The page, from the pod that serves it."""
        with using_pod(self.pod):
            return self.client.get(self.path, follow=True)

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
        current = self._connection
        assert current is not None, "The tab is not connected."
        with using_pod(self.pod):
            on_loop(_settle(self.pod))

    def until(self, condition: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
        """Wait for something that frames bring. Shows the page where it does not come."""
        deadline = time.monotonic() + connection.DEADLINE
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{why()}\n{self.page}\nframes: {self.frames[-5:]} byes: {self.byes} closed: {self.closed}"
                    )
                self._changed.wait(left)

    def submit(self, form: str = "form", **fields: Any) -> Any:
        """Send a form of the page as a browser does, with what it holds and these; returns the response, a redirect unfollowed.

        A ``data-via-form`` then shows what the client script would: itself with its errors, or, after a redirect to the page, as new.
        """
        sent = self.form(form)
        data = sent.data({**self.drafts.pop(form, {}), **fields})
        with using_pod(self.pod):
            response = self.client.post(sent.action, data, headers=sent.headers)
            after = self.client.get(again) if (again := sent.followed(response)) else response
        self.show_answer(sent, after, done=after is not response)
        return response

    def fill(self, form: str = "form", **fields: Any) -> Any:
        """Type into fields of a form that has ``data-via-validate``. It shows what its view says is wrong so far; the answer is returned."""
        asked = self.typed(form, fields)
        with using_pod(self.pod):
            return self.told(form, self.client.generic(**asked))

    def typed(self, form: str, fields: dict[str, Any]) -> dict[str, Any]:
        """What asks about a form into which this was typed, as arguments of a client's ``generic``."""
        typed, scripts = self.form(form), self.page.find("script[data-via-header]")
        element = typed.element
        assert "data-via-validate" in element.attributes, f"{form!r} has no data-via-validate:\n{element}"
        assert scripts, f"The page {self.path} has no {{% via_validate %}}."
        self.drafts.setdefault(form, {}).update(fields)
        data = typed.data(self.drafts[form])
        declared = element.attributes["data-via-validate"].split()
        for one in element.find("input[type=password]"):
            if one.attributes["name"] not in declared:
                data.pop(one.attributes["name"], None)
        wrong = [one.attributes.get("name") for one in element.find("[aria-invalid=true]")]
        names = ",".join(quote(str(name)) for name in {*self.drafts[form], *wrong} if name in data)
        return {
            "method": METHOD,
            "path": typed.action,
            "data": urlencode(data, doseq=True),
            "content_type": "application/x-www-form-urlencoded",
            "headers": {
                ASKED: f"{WORD}; {names}",
                scripts[0].attributes["data-via-header"]: "".join(data.get("csrfmiddlewaretoken", ())),
            },
        }

    def told(self, form: str, response: Any) -> Any:
        """Have the form show what its view says."""
        element = self.page.find(form)[0]
        found = parse(response.content.decode()).find(f"#{element.attributes['id']}")
        assert found, (
            f"{METHOD} answered {response.status_code}, without the form {form!r}: does its view take {METHOD}, and use live.form?"
        )
        self._put(element, found[0])
        return response

    def form(self, selector: str) -> PageForm:
        """The first form that fits."""
        found = [one for one in self.page.find(selector) if one.tag == "form"]
        assert found, f"{selector!r} is not a form of the page:\n{self.page}"
        return PageForm(found[0], self.path)

    def show_answer(self, sent: PageForm, response: Any, *, done: bool) -> None:
        """Show what was answered to a form, where that stays on the page."""
        if (answer := sent.answer(response, done=done)) is not None:
            self._put(sent.element, answer)

    def _put(self, form: Element, content: Element) -> None:
        """Frames change the page on another thread meanwhile."""
        with self._changed:
            self.fill_in(form, content)
            self._changed.notify_all()

    # The connection ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection, and wait until the server has answered for all nodes."""
        self.closed = None
        nodes = [one for one in self.nodes if not one.gone]
        with self._changed:  # what the server says at once is about this one
            self._connection = self.dial()
        self.say(hello=self.ticket, nodes=[one.asked() for one in nodes])

    def dial(self) -> Connection:
        """A new connection to the pod that serves it."""
        with using_pod(self.pod):
            return Consumed(self._cookies(), self.heard, self.ended)

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
                connection.size += len(text)
                for line in filter(None, text.split("\n")):
                    self.hear(json.loads(line))
                self.received = connection.count
                if self.acknowledges and (connection.count % 16 == 0 or connection.size >= 65536):
                    connection.size = 0
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
            self.spread = message["hi"]["spread"]
        if "b" in message:
            said = message["b"]
            if said["kind"] == "notify":
                self.notices.append(said["text"])
            elif said["kind"] == "signals":
                self.signals.update(said["values"])


async def _settle(pod: Pod) -> None:
    await hub_here(pod).settle()


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
