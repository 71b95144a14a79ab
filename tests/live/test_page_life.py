"""What happens to a page in a browser's life: it is left and come back to, frozen, offline, and told what it does not know."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Route
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from client.build import BUILT
from testproject.servers.ports import HOST
from tests.cluster.chromium import ARGUMENTS, chromium_path
from tests.live.pages import LivePage, document, node

pytestmark = pytest.mark.browser

ONE, TWO, THREE = ({"room": ["e", offset, f"r{offset}"]} for offset in (1, 2, 3))
COUNT = node("count", "1", ONE, "span")


@pytest.fixture
def strict(browser: Browser) -> Iterator[Callable[..., LivePage]]:
    """Opens pages under the strict policy; at the end none of them may have complained."""
    pages: list[LivePage] = []

    def open_page(body: str, **settings: Any) -> LivePage:
        page = LivePage(browser, body, **settings)
        pages.append(page)
        page.online()
        return page

    yield open_page
    for page in pages:
        assert page.errors == []
        page.page.close()


# Left and come back to ----------------------------------------------------------------------------------------


class Site:
    """A real server: Playwright's own answers keep a browser from its cache of pages. ``said`` is what its pages say."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.at = ONE
        self._server = serve(
            self._talk,
            HOST,
            0,
            process_request=self._answer,
            subprotocols=[Subprotocol("via.1")],
            compression=None,
        )
        self.url = f"http://{HOST}:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/via/live/"):
            return None
        script = request.path == "/via-1.js"
        body = BUILT.read_bytes() if script else document(COUNT).encode()
        kind = "text/javascript" if script else "text/html"
        headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body)))])
        return Response(HTTPStatus.OK, "OK", headers, body)

    def _talk(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for text in socket:
                message = json.loads(text)
                self.said.append(message)
                if "hello" in message:
                    socket.send(json.dumps({"hi": {"pod": "pod", "spread": 50}}))
                    socket.send(json.dumps({"f": [["count", self.at, "t", str(self.at["room"][1])]]}))

    def close(self) -> None:
        self._server.shutdown()


def test_a_page_that_is_come_back_to_is_the_same_and_shows_what_is_new(browser: Browser) -> None:
    """The browser keeps it as it was (bfcache): it closes its socket when it is left, and resumes with what it shows."""
    site = Site()
    shown = "document.documentElement.dataset.viaConnection + document.querySelector('span').textContent"
    keeping = browser.browser_type.launch(
        executable_path=chromium_path(), args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
    )
    page = keeping.new_page()

    def until(wanted: str) -> None:
        for _ in range(400):
            with suppress(Error):  # the page may be about to change
                if page.evaluate(shown) == wanted:
                    return
            page.wait_for_timeout(25)
        raise AssertionError(f"{page.evaluate(shown)} is not {wanted}: {site.said}")

    page.goto(f"{site.url}/one/")
    until("online1")
    page.evaluate(
        "() => { window.opened = 1; addEventListener('pageshow', (event) => (window.kept = event.persisted)); }"
    )
    page.goto(f"{site.url}/two/")
    until("online1")
    site.at = TWO
    page.evaluate("history.back()")
    until("online2")
    assert page.url.endswith("/one/")
    assert page.evaluate("[window.opened, window.kept]") == [1, True]
    assert site.said[-1] == {"hello": "ticket", "nodes": [["count-token", ONE]]}
    keeping.close()
    site.close()


def test_a_page_that_wakes_asks_whether_its_server_is_there(strict: Any) -> None:
    """As after a laptop's sleep: the page was frozen, and nobody told it that its connection is gone.

    Chromium freezes only pages that are hidden, which a headless one never is: the event is ours, as it makes it.
    """
    page = strict(COUNT)
    page.mute = True
    page.page.evaluate("document.dispatchEvent(new Event('resume'))")

    page.heard(lambda said: said == {"ping": 1})
    page.mute = False
    page.heard(lambda said: "hello" in said and len(page.sockets) > 1)  # nobody answered: another socket
    page.frame(["count", TWO, "t", "2"])
    page.until("document.querySelector('span').textContent === '2'")


def test_offline_is_said_and_the_page_comes_back_by_itself(strict: Any) -> None:
    page = strict(COUNT)
    page.opens = False
    page.page.context.set_offline(True)
    page.sockets[-1].close(code=1012)
    page.until("document.documentElement.dataset.viaConnection === 'offline'")

    page.opens = True
    page.page.context.set_offline(False)

    page.online()
    assert page.said[-1]["nodes"] == [["count-token", ONE]]


def test_where_sockets_open_again_the_page_asks_no_more_by_post(browser: Browser) -> None:
    page = LivePage(browser, COUNT, poll="0.02", opens=False)
    page.answer = {"status": 200, "body": json.dumps({"f": [["count", TWO, "t", "2"]]})}
    page.until("document.querySelector('span').textContent === '2'")

    page.opens = True

    page.heard(lambda said: said == {"hello": "ticket", "nodes": [["count-token", TWO]]})
    posts = len(page.posts)
    page.frame(["count", THREE, "t", "3"])
    page.until("document.querySelector('span').textContent === '3'")
    assert len(page.posts) == posts
    page.page.close()


def test_pages_of_another_login_wait_a_moment_before_they_load_again(strict: Any) -> None:
    """The answer that has the new session's cookie is under way when the others are told."""
    page = strict(COUNT)
    page.page.evaluate(
        "() => addEventListener('via:reload', (event) => { event.preventDefault(); window.after = performance.now() - window.told; })"
    )
    page.page.evaluate("window.told = performance.now()")
    page.tell(page.sockets[-1], {"bye": {"why": "signed-out", "in": 400}})

    page.until("window.after >= 400")
    assert page.page.evaluate("document.documentElement.dataset.viaConnection") == "stale"


# What a page shows --------------------------------------------------------------------------------------------


def test_what_a_newer_server_says_is_passed_over(strict: Any) -> None:
    page = strict(COUNT)

    page.tell(
        page.sockets[-1],
        {"unheard": {"of": 1}},
        {"b": {"kind": "unknown", "text": "x"}},
        {"f": [["count", TWO, "?", "x"], ["nobody", TWO, "t", "x"], ["count", TWO, "t", "2"]]},
        {"hi": {"pod": "pod", "spread": 50, "more": 1}},
    )

    page.until("document.querySelector('span').textContent === '2'")


def test_a_page_of_three_hundred_places_says_hello_once(strict: Any) -> None:
    page = strict("".join(node(f"n{number}", "1", ONE, "span") for number in range(300)))
    assert len(page.said[0]["nodes"]) == 300

    page.frame(*[[f"n{number}", TWO, "t", "2"] for number in range(300)])

    page.until("[...document.querySelectorAll('span')].every((one) => one.textContent === '2')")
    assert sum("hello" in said for said in page.said) == 1


def test_what_is_read_out_is_the_list_with_its_new_line(strict: Any) -> None:
    page = strict(node("room", '<ol role="log"><li>one</li></ol>', ONE))
    page.page.evaluate("window.first = document.querySelector('li')")

    page.frame(["room", TWO, "h", '<ol role="log"><li>one</li><li>two</li></ol>', "tag2"])

    page.until("document.querySelectorAll('li').length === 2")
    assert page.page.evaluate("window.first === document.querySelector('li')")
    assert page.page.locator("div").first.aria_snapshot() == "- log:\n  - listitem: one\n  - listitem: two"


# Forms --------------------------------------------------------------------------------------------------------

FORM = """<form id="say" method="post" action="/say/" data-via-form><input name="text" id="text"><button>Send</button>
<template data-via-optimistic="#room ol"><li class="mine"><span data-via-value="text"></span></li></template></form>"""


@pytest.fixture
def talk(strict: Any) -> tuple[LivePage, list[Route]]:
    """A page with a form, whose requests wait for their answers."""
    page, waiting = strict(node("room", "<ol></ol>", ONE, more='id="room"') + FORM), []
    page.page.route("**/say/", lambda route: waiting.append(route))
    return page, waiting


def send(page: LivePage, text: str) -> None:
    page.page.fill("#text", text)
    page.page.press("#text", "Enter")


def arrive(page: LivePage, waiting: list[Route], count: int) -> None:
    for _ in range(400):
        if len(waiting) >= count:
            return
        page.page.wait_for_timeout(25)
    raise AssertionError(f"{len(waiting)} requests came, not {count}.")


def test_what_is_sent_while_something_is_under_way_is_sent_after_it(talk: tuple[LivePage, list[Route]]) -> None:
    """The same once more is a second click. Of what is sent besides, the newest counts."""
    page, waiting = talk
    for text in ("one", "one", "two", "three", "three"):
        send(page, text)
    arrive(page, waiting, 1)
    waiting[0].fulfill(status=204, headers={"X-Via-At": json.dumps(TWO)})
    arrive(page, waiting, 2)

    assert "one" in (waiting[0].request.post_data or "")
    assert "three" in (waiting[1].request.post_data or "")
    assert page.page.evaluate("document.getElementById('text').value") == "three"
    waiting[1].fulfill(status=204, headers={"X-Via-At": json.dumps(THREE)})
    page.until("!document.querySelector('[data-via-busy]') && document.getElementById('text').value === ''")
    assert len(waiting) == 2
    send(page, "three")
    arrive(page, waiting, 3)
    waiting[2].fulfill(status=204, headers={"X-Via-At": json.dumps(THREE)})
    page.until("!document.querySelector('[data-via-busy]')")


def test_a_line_never_shows_twice_when_the_page_is_told_before_the_form_is(
    talk: tuple[LivePage, list[Route]],
) -> None:
    page, waiting = talk
    page.page.evaluate("""() => {
      window.most = 0;
      const count = () => (window.most = Math.max(window.most, document.querySelectorAll('li').length));
      new MutationObserver(count).observe(document, { childList: true, subtree: true, characterData: true });
    }""")
    send(page, "one")
    page.until("window.most === 1")
    arrive(page, waiting, 1)

    page.frame(["room", TWO, "h", '<ol><li class="mine"><span>one</span></li></ol>', "tag2"])
    page.until(f"document.getElementById('room').dataset.viaAt.includes('{TWO['room'][2]}')")
    waiting[0].fulfill(status=204, headers={"X-Via-At": json.dumps(TWO)})

    page.until(
        "!document.querySelector('[data-via-ghost]') && document.querySelector('li')?.textContent === 'one'"
    )
    assert page.page.evaluate("window.most") == 1


# Coming back --------------------------------------------------------------------------------------------------


def test_k3_pages_come_back_at_random_within_what_the_server_said_then_ever_more_rarely(strict: Any) -> None:
    page = strict(COUNT)
    page.page.evaluate("""() => {
      window.waits = [];
      const now = Date.now;
      Date.now = () => now() + 20000; // its connection has lasted
      Math.random = () => 0.5;
      const real = window.setTimeout;
      window.setTimeout = (work, wait, ...rest) => {
        if (work.name === "" || wait === 1500) return real(work, wait, ...rest);
        window.waits.push(wait);
        return real(work, Math.min(wait, 10), ...rest);
      };
    }""")
    page.tell(page.sockets[-1], {"hi": {"pod": "pod", "spread": 30_000}})
    page.opens = False
    page.sockets[-1].close(code=1006)

    page.until("window.waits.length > 7")
    tries = [15_000, *(0.5 * min(20_000, 500 * 2**number) for number in range(1, 8))]
    waits = [
        wait for wait in page.page.evaluate("window.waits") if wait != 60_000
    ]  # that is how long one may stay silent
    assert waits[:7] == tries[:7]


def test_k4_nothing_in_the_script_is_of_others() -> None:
    sources = sorted(Path(BUILT.parents[3], "client").glob("*.js"))
    names = {source.name for source in sources}
    for source in sources:
        for name in re.findall(r'from "([^"]+)"', source.read_text()):
            assert name.removeprefix("./") in names, f"{source.name} imports {name}"
