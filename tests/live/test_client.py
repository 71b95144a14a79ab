"""The client script: built from its sources, small, and in a browser what it promises. The server is the test."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from client.build import BUILT, build
from tests.live.pages import LivePage, node

pytestmark = pytest.mark.browser

LIMIT = 5000
ONE, TWO, THREE = ({"room": ["e", offset, f"r{offset}"]} for offset in (1, 2, 3))


def test_the_script_is_built_of_its_sources() -> None:
    assert BUILT.read_bytes() == build(), "Run: make client"


def test_the_script_is_small() -> None:
    assert len(gzip.compress(BUILT.read_bytes(), 9, mtime=0)) <= LIMIT


def test_k1_the_script_evaluates_no_text() -> None:
    text = BUILT.read_text()

    assert not [
        word
        for word in ("eval(", "Function(", "insertAdjacentHTML", "outerHTML=", "document.write")
        if word in text
    ]


@pytest.fixture
def strict(browser: Browser) -> Iterator[Any]:
    """Opens pages under the strict policy; at the end none of them may have complained."""
    pages: list[LivePage] = []

    def open_page(body: str, **settings: Any) -> LivePage:
        page = LivePage(browser, body, **settings)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.errors == []
        page.page.close()


ROOM = node("room", "<ol><li>one</li></ol>", ONE)


def test_a_page_says_what_it_shows_and_paints_what_is_newer(strict: Any) -> None:
    page = strict(
        node("count", "1", ONE, "span") + ROOM + node("bar", "", ONE, "progress", 'data-via-to="value" max="100"')
    )
    page.online()

    assert page.said[0] == {
        "hello": "ticket",
        "nodes": [["count-token", ONE], ["room-token", ONE], ["bar-token", ONE]],
    }
    page.frame(
        ["count", TWO, "t", "2"],
        ["room", TWO, "h", "<ol><li>one</li><li>two</li></ol>", "tag2"],
        ["bar", TWO, "t", "40"],
    )
    page.until(
        "document.querySelectorAll('li').length === 2 && document.querySelector('span').textContent === '2'"
    )
    page.until("document.querySelector('progress').value === 40")
    assert page.page.evaluate("document.querySelector('div').dataset.viaAt") == json.dumps(
        TWO, separators=(",", ":")
    )


def test_a_delta_is_put_into_the_last_frame_and_without_that_the_whole_is_asked_for(strict: Any) -> None:
    page = strict(ROOM)
    page.online()
    page.frame(["room", TWO, "d", "tag1", 0, 0, "x", "tag2"])
    assert page.heard(lambda said: "add" in said) == {"add": [["room-token", {}]]}

    page.frame(["room", TWO, "h", "<p>😀a</p>", "tag2"], ["room", THREE, "d", "tag2", 5, 4, "b", "tag3"])

    page.until("document.querySelector('p')?.textContent === '😀b'")


def test_a_page_never_goes_back_unless_the_history_was_rewritten(strict: Any) -> None:
    page = strict(node("count", "3", THREE, "span"))
    page.online()
    page.frame(["count", TWO, "t", "2"], ["count", TWO, "t", "2"])
    assert page.heard(lambda said: "add" in said) == {"add": [["count-token", THREE]]}
    assert page.page.evaluate("document.querySelector('span').textContent") == "3"

    page.frame(["count", {}, "r"], ["count", TWO, "t", "2"])

    page.until("document.querySelector('span').textContent === '2'")
    assert sum("add" in said for said in page.said) == 1


def test_a_page_comes_back_with_what_it_shows(strict: Any) -> None:
    page = strict(ROOM)
    page.online()
    page.frame(["room", TWO, "h", "<p>2</p>", "tag2"])
    page.until("document.querySelector('p')?.textContent === '2'")

    page.sockets[-1].close(code=1012)

    page.heard(lambda said: said == {"hello": "ticket", "nodes": [["room-token", TWO, "tag2"]]})
    page.online()


def test_a_server_that_goes_is_left_for_the_next_one_first(strict: Any) -> None:
    page = strict(ROOM)
    page.online()
    states = "window.states = []; addEventListener('via:connection', (event) => states.push(event.detail.state))"
    page.page.evaluate(states)

    page.tell(page.sockets[0], {"bye": {"why": "drain", "in": 10}})

    page.heard(lambda said: "hello" in said and page.said.index(said) == 0)
    for _ in range(200):
        if len(page.sockets) == 2:
            break
        page.page.wait_for_timeout(25)
    page.frame(["room", TWO, "t", "2"])
    page.until("document.querySelector('div').textContent === '2'")
    assert page.page.evaluate("states") == []


def test_what_is_acknowledged_is_what_was_received(strict: Any) -> None:
    page = strict(node("count", "0", {"room": ["e", 0, ""]}, "span"))
    page.online()

    for number in range(1, 32):
        page.frame(["count", {"room": ["e", number, f"r{number}"]}, "t", str(number)])

    page.until("document.querySelector('span').textContent === '31'")
    page.heard(lambda said: said == {"ack": 32})  # the welcome is one, too
    assert {"ack": 16} in page.said


def test_a_hidden_page_sleeps_and_wakes_with_what_it_shows(strict: Any) -> None:
    page = strict(ROOM, sleep="0.05")
    page.online()
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    closed: list[int | None] = []
    page.sockets[0].on_close(lambda code, reason: closed.append(code))
    page.page.evaluate(hide, True)
    for _ in range(200):
        if closed:
            break
        page.page.wait_for_timeout(25)
    assert closed == [4100]

    page.page.evaluate(hide, False)

    page.heard(lambda said: "hello" in said and len(page.sockets) == 2)


def test_where_sockets_never_open_the_page_asks_by_post(strict: Any) -> None:
    page = strict(ROOM, poll="0.05", opens=False)
    lines = [
        {"hi": {"pod": "p", "spread": 1}},
        {"f": [["room", TWO, "h", "<p>polled</p>", "tag2"]]},
    ]
    page.answer = {"status": 200, "body": "\n".join(map(json.dumps, lines))}

    page.until("document.querySelector('p')?.textContent === 'polled'")
    assert json.loads(page.posts[0]) == {"hello": "ticket", "nodes": [["room-token", ONE]]}
    page.online()


def test_nodes_that_come_and_go_are_told(strict: Any) -> None:
    page = strict(ROOM + "<main></main>")
    page.online()
    page.page.evaluate(
        "() => { const e = document.querySelector('div').cloneNode(); e.dataset.via = 'x-token'; e.dataset.viaId = 'x'; document.querySelector('main').append(e); }"
    )
    page.heard(lambda said: said == {"add": [["x-token", ONE]]})

    page.page.evaluate("document.querySelector('main').replaceChildren()")

    page.heard(lambda said: said == {"drop": ["x"]})


def test_a_nested_node_that_a_frame_brings_is_asked_for(strict: Any) -> None:
    page = strict(ROOM)
    page.online()

    page.frame(["room", TWO, "h", node("inner", "", {}), "tag2"])
    assert page.heard(lambda said: "add" in said) == {"add": [["inner-token", {}]]}
    page.frame(["inner", ONE, "t", "inside"])
    page.until("document.body.textContent.trim() === 'inside'")


def test_another_place_of_a_node_that_a_frame_brings_is_painted_too(strict: Any) -> None:
    page = strict(node("count", "1", ONE, "span") + ROOM)
    page.online()
    page.frame(["room", TWO, "h", node("count", "", {}, "span"), "tag2"])
    assert page.heard(lambda said: "add" in said) == {"add": [["count-token", {}]]}

    page.frame(["count", ONE, "t", "1"])

    page.until("[...document.querySelectorAll('span')].map((one) => one.textContent).join() === '1,1'")


@pytest.mark.parametrize("markup", [
    '<form><input name="childNodes"><input name="firstChild"><input name="getAttribute"></form>',
    '<b data-via="junk" data-via-id="count" data-via-at="null">x</b>', '<b data-via="junk" data-via-id="count" data-via-at="{">x</b>',
    '<b data-via="junk" data-via-id="count" data-via-at="{}" data-via-to="onclick">x</b>',
    '<iframe data-via="junk" data-via-id="count" data-via-at="{}" data-via-to="srcdoc"></iframe>',
    '<b id="body"></b><b id="via"></b><form id="page"></form>',
])  # fmt: skip
def test_k2_markup_of_strangers_stops_nothing_and_runs_nothing(strict: Any, markup: str) -> None:
    page = strict(node("block", markup, ONE) + node("count", "1", ONE, "span"))
    page.online()

    page.frame(["count", TWO, "t", "window.ran = 1"])

    page.until("document.querySelector('span').textContent === 'window.ran = 1'")
    assert page.page.evaluate("[...document.querySelectorAll('[onclick],[srcdoc]')].length") == 0
    page.frame(["block", TWO, "h", markup + "<i>new</i>", "tag2"], ["count", THREE, "t", "3"])
    page.until(
        "document.querySelector('i')?.textContent === 'new' && document.querySelector('span').textContent === '3'"
    )


def test_what_a_visitor_may_no_longer_see_goes(strict: Any) -> None:
    page = strict(ROOM + node("bar", "", ONE, "progress", 'data-via-to="value" value="3"'))
    page.online()

    page.frame(["room", {}, "x", "denied"], ["bar", {}, "x", "missing"], ["room", TWO, "h", "<p>late</p>", "tag2"])

    page.until("document.querySelector('div').dataset.viaGone === 'denied'")
    assert (
        page.page.evaluate(
            "document.querySelector('div').innerHTML + document.querySelector('progress').hasAttribute('value')"
        )
        == "false"
    )


def test_a_page_of_another_login_is_loaded_again_once_and_not_again_and_again(strict: Any) -> None:
    page = strict(ROOM)
    page.online()
    page.page.evaluate("window.opened = true")

    page.tell(page.sockets[-1], {"bye": {"why": "signed-out", "in": 0}})
    page.until("window.opened === undefined && document.documentElement.dataset.viaConnection === 'online'")
    page.page.evaluate("window.opened = true")
    page.tell(page.sockets[-1], {"bye": {"why": "signed-out", "in": 0}})

    page.until("document.documentElement.dataset.viaConnection === 'stale'")
    assert page.page.evaluate("window.opened") is True


def test_a_frame_waits_while_somebody_composes_a_character(strict: Any) -> None:
    page = strict(node("room", '<input id="f"><b>1</b>', ONE))
    page.online()
    page.page.evaluate(
        "document.getElementById('f').dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }))"
    )
    page.frame(
        ["room", TWO, "h", '<p></p><input id="f"><b>2</b>', "tag2"],
        ["room", THREE, "h", '<input id="f"><b>3</b>', "tag3"],
    )
    page.until("document.querySelector('div').dataset.viaAt.includes('3')")
    assert page.page.evaluate("document.querySelector('b').textContent") == "1"

    page.page.evaluate(
        "document.getElementById('f').dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }))"
    )

    page.until("document.querySelector('b').textContent === '3'")


FORM = """<ul id="lines"></ul><form id="say" method="post" action="/say/" data-via-form><input name="text" id="text"><input name="more" value="d">
<button>Send</button><template data-via-optimistic="#room ol"><li class="mine"><span data-via-value="text"></span></li></template></form>"""


def send(page: LivePage, text: str) -> None:
    page.page.fill("#text", text)
    page.page.click("button")


def test_a_line_is_there_at_once_and_is_the_servers_when_that_is_here(strict: Any) -> None:
    page = strict(node("room", "<ol><li>one</li></ol>", ONE, more='id="room"') + FORM)
    page.online()
    page.answer = {"status": 204, "headers": {"X-Via-At": json.dumps(TWO)}}

    send(page, "two")
    page.until("document.getElementById('text').value === ''")
    page.until("document.querySelector('[data-via-ghost]').textContent === 'two'")
    assert "two" in page.posts[0]
    page.frame(["room", TWO, "h", "<ol><li>one</li><li>two</li></ol>", "tag2"])

    page.until("!document.querySelector('[data-via-ghost]') && document.querySelectorAll('li').length === 2")
    assert page.page.evaluate("document.getElementById('say').hasAttribute('data-via-busy')") is False


def test_a_refused_form_shows_what_is_wrong_and_keeps_what_was_typed(strict: Any) -> None:
    page = strict(node("room", "<ol></ol>", ONE, more='id="room"') + FORM)
    page.online()
    wrong = '<form id="say" method="post"><p>Too long.</p><input name="text" id="text" value="two" aria-invalid="true"><input name="more" value="d"></form>'
    page.answer = {
        "status": 200,
        "content_type": "text/html",
        "body": f"<!doctype html><head><style nonce='other'>p {{ color: red }}</style><body>{wrong}<script>window.ran=1</script>",
    }

    send(page, "two")

    page.until("document.querySelector('#say p')?.textContent === 'Too long.'")
    page.until("document.activeElement.id === 'text' && document.activeElement.value === 'two' && !window.ran")
    assert page.page.evaluate("document.querySelectorAll('[data-via-ghost]').length") == 0


@pytest.mark.parametrize(
    ("answer", "said"), [({"status": 403, "body": "no"}, "not sent"), ({"status": 500, "body": "oh"}, "perhaps")]
)
def test_a_form_that_failed_says_so_and_whether_it_may_have_been_done(
    strict: Any, answer: dict[str, Any], said: str
) -> None:
    page = strict(node("room", "<ol></ol>", ONE, more='id="room"') + FORM, unknown="perhaps", unsent="not sent")
    page.online()
    page.answer = answer

    send(page, "two")

    page.until(f"document.querySelector('[role=alert]').textContent === '{said}'")
    assert page.page.evaluate("document.querySelector('li').dataset.viaFailed") == ""
    assert page.page.evaluate("document.getElementById('text').value") == "two"
    page.errors = [
        one for one in page.errors if "Failed to load resource" not in one
    ]  # the browser's own words about the status


def test_b4_notices_and_signals_are_text_and_scripts_run_only_where_the_page_allows_them(strict: Any) -> None:
    page = strict('<i data-via-signal="price"></i><i data-via-signal="__proto__"></i>')
    page.online()
    page.tell(
        page.sockets[-1],
        {"b": {"kind": "notify", "text": "<b>hi</b>", "level": "warning"}},
        {"b": {"kind": "signals", "values": {"price": "<b>7</b>", "__proto__": "x", "constructor": "y"}}},
        {"b": {"kind": "script", "code": "window.ran = 1"}},
    )

    page.until("document.querySelector('[role=status]').textContent === '<b>hi</b>'")
    assert page.page.evaluate("document.querySelector('i').textContent") == "<b>7</b>"
    assert page.page.evaluate("window.ran") is None
    assert page.page.evaluate("({}).x === undefined && Object.prototype.constructor === Object") is True
    allowed = strict("", scripts="1")
    allowed.online()
    allowed.tell(allowed.sockets[-1], {"b": {"kind": "script", "code": "window.ran = 1"}})
    allowed.until("window.ran === 1")


def test_a_page_has_its_next_ticket_and_its_nodes_their_next_tokens(strict: Any) -> None:
    page = strict(ROOM)
    page.online()
    page.tell(
        page.sockets[-1],
        {"hi": {"pod": "pod", "spread": 10, "page": "next"}},
        {"f": [["room", {}, "k", "next-token"]]},
    )
    page.until("document.querySelector('div').dataset.via === 'next-token'")

    page.sockets[-1].close(code=1012)

    page.heard(lambda said: said == {"hello": "next", "nodes": [["next-token", ONE]]})


def test_what_cant_be_followed_is_marked_until_it_can(strict: Any) -> None:
    page = strict(ROOM + node("count", "1", ONE, "span"))
    page.online()

    page.tell(page.sockets[-1], {"no": ["count-token"[-12:], "token"]}, {"f": [["room", {}, "s"]]})
    page.until("document.querySelectorAll('[data-via-stale]').length === 2")
    page.frame(["room", TWO, "="])

    page.until("document.querySelectorAll('[data-via-stale]').length === 1")
    assert page.page.evaluate("document.querySelector('li').textContent") == "one"


def test_a_quick_region_is_read_out_when_it_rests(strict: Any) -> None:
    page = strict(node("count", "1", ONE, "output"))
    page.online()

    page.frame(["count", TWO, "t", "2"], ["count", THREE, "t", "3"])

    page.until("document.querySelector('output').ariaBusy === 'true'")
    page.until("document.querySelector('output').ariaBusy === null")


def test_a_form_inside_a_block_keeps_a_token_that_counts(strict: Any) -> None:
    page = strict(ROOM)
    page.online()

    page.frame(
        [
            "room",
            TWO,
            "h",
            '<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="via-csrf"></form>',
            "tag2",
        ]
    )

    page.until("document.querySelector('[name=csrfmiddlewaretoken]')?.value === 'token-of-this-page'")
