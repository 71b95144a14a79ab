"""The client script: built from its sources, small, and in a browser what it promises. The server is the test."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from client.build import BUILT, build
from tests.live.pages import ONE, ROOM, THREE, TWO, node

pytestmark = pytest.mark.browser

LIMIT = 5000


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
