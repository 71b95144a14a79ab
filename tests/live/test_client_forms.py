"""Forms of a live page in a browser, what a page is told beside its frames, and what is read out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.pages import ONE, ROOM, THREE, TWO, LivePage, node

pytestmark = pytest.mark.browser


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
