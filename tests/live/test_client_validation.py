"""Forms that say what is wrong while they are filled in, in a browser. The server is the test."""

from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import parse_qs

import pytest

from client.build import VALIDATE, build
from tests.live.pages import VALIDATES, LivePage

pytestmark = pytest.mark.browser

LIMIT = 1500
FIELDS = """<input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<div>{error}<input name="text" id="text"{wrong}></div><textarea name="more" id="more">begin</textarea>
<select name="size"><option value="s" selected>S</option><option value="l">L</option></select>
<input type="password" name="secret" id="secret"><input type="password" name="pin" id="pin"><input type="file" name="file"><button>Send</button>"""
FORM = (
    '<form id="say" method="post" action="/say/" data-via-form data-via-validate="pin">'
    + FIELDS.format(token="t1", error="", wrong="")
    + "</form>"
    + VALIDATES
)


def judged(error: str = "") -> dict[str, Any]:
    """The page with what is wrong with the text."""
    told = f'<ul class="errorlist" id="text_error"><li>{error}</li></ul>' if error else ""
    wrong = ' value="typed" aria-invalid="true" aria-describedby="text_error"' if error else ' value="typed"'
    fields = FIELDS.format(token="t2", error=told, wrong=wrong)
    return {"content_type": "text/html", "body": f'<body><form id="say">{fields}</form>'}


def asked(page: LivePage, number: int) -> dict[str, list[str]]:
    """What was asked, the so-manieth time."""
    for _ in range(400):
        if len(page.asks) >= number:
            return parse_qs(page.asks[number - 1].post_data or "", keep_blank_values=True)
        page.page.wait_for_timeout(25)
    raise AssertionError([one.post_data for one in page.asks])


def quiet(page: LivePage) -> None:
    """Let more time go by than a visitor rests: what should not be asked would have been."""
    page.page.evaluate("new Promise((done) => setTimeout(done, 700))")


def opened(strict: Any, judge: dict[str, Any] | None, body: str = FORM) -> LivePage:
    page: LivePage = strict(body)
    page.judge = judge
    page.online()
    page.until("document.querySelectorAll('[role=status]').length === 2")  # both scripts are there
    return page


def test_the_script_is_built_of_its_sources_and_is_small() -> None:
    assert VALIDATE.read_bytes() == build(VALIDATE), "Run: make client"
    assert len(gzip.compress(VALIDATE.read_bytes(), 9, mtime=0)) <= LIMIT


def test_what_is_wrong_is_shown_and_read_out_while_it_is_typed_and_nothing_is_sent(strict: Any) -> None:
    page = opened(strict, judged("Too long."))
    page.page.evaluate("document.getElementById('more').className = 'of-a-script'")
    page.page.locator("#text").press_sequentially("ab")

    page.until("document.getElementById('text_error')?.textContent === 'Too long.'")
    body = asked(page, 1)
    assert (body["text"], page.posts) == (["ab"], [])
    assert page.asks[0].headers["x-via"] == "validate; text"
    assert page.asks[0].headers["x-csrftoken"] == "t1"
    page.until("[...document.querySelectorAll('[role=status]')].at(-1).textContent === 'Too long.'")
    field = page.page.locator("#text")
    reset_to = page.page.evaluate("document.getElementById('text').defaultValue")
    assert (field.input_value(), reset_to) == ("ab", ""), "a draft is not what it is reset to"
    assert page.page.evaluate("document.activeElement.id") == "text"
    assert field.get_attribute("aria-invalid") == "true"
    assert page.page.locator("#more").get_attribute("class") == "of-a-script"
    page.judge = judged()
    field.press_sequentially("c")
    page.until("!document.getElementById('text_error') && !document.querySelector('[aria-invalid]')")
    assert page.page.evaluate("document.querySelectorAll('[data-via-toasts] p').length") == 0
    assert field.input_value() == "abc"


def test_passwords_and_files_stay_here_unless_the_form_names_them(strict: Any) -> None:
    page = opened(strict, judged())
    page.page.fill("#secret", "s3")
    page.page.set_input_files("[type=file]", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
    page.page.fill("#pin", "1234")
    page.page.fill("#more", "one\ntwo")

    body = asked(page, 1)
    assert {"secret", "file"}.isdisjoint(body)
    assert (body["pin"], body["more"]) == (["1234"], ["one\r\ntwo"]), "as a form is sent"
    assert page.asks[0].headers["x-via"] == "validate; pin,more"


def test_only_the_newest_is_asked_once_and_a_form_that_is_sent_asks_no_more(strict: Any) -> None:
    page = opened(strict, None)
    page.page.fill("#text", "one")
    asked(page, 1)
    page.page.fill("#text", "two")
    assert asked(page, 2)["text"] == ["two"]
    page.waiting[1].fulfill(**judged("two is wrong"))
    page.until("document.getElementById('text_error')?.textContent === 'two is wrong'")
    assert page.asks[0].failure is not None, "nobody waits for the answer to what is no longer there"
    page.page.fill("#text", "three")
    page.page.fill("#text", "two")
    quiet(page)
    assert len(page.asks) == 2, "of that the answer is here"

    page.page.fill("#text", "four")
    page.page.evaluate("document.getElementById('say').requestSubmit()")
    page.until("!document.querySelector('[data-via-busy]')")
    quiet(page)

    assert (len(page.asks), len(page.posts)) == (2, 1)


def test_nothing_is_asked_while_a_character_is_composed_or_the_browser_is_offline(strict: Any) -> None:
    page = opened(strict, judged())
    compose = """(type) => document.getElementById("text").dispatchEvent(type === "input"
        ? new InputEvent("input", { bubbles: true, isComposing: true }) : new CompositionEvent(type, { bubbles: true }))"""
    for type in ("compositionstart", "input"):
        page.page.evaluate(compose, type)
    page.page.evaluate("document.getElementById('text').value = 'に'")
    quiet(page)
    assert page.asks == []
    page.page.evaluate(compose, "compositionend")
    assert asked(page, 1)["text"] == ["に"]

    page.page.context.set_offline(True)
    page.page.fill("#text", "later")
    quiet(page)
    assert len(page.asks) == 1
    page.page.context.set_offline(False)
    assert asked(page, 2)["text"] == ["later"]
    page.errors = [one for one in page.errors if "ERR_INTERNET_DISCONNECTED" not in one]


def test_what_a_refused_form_says_stays_until_that_is_right(strict: Any) -> None:
    page = opened(strict, judged("Too long."))
    page.answer = judged("Too long.")
    page.page.click("button")
    page.until("document.getElementById('text_error')?.textContent === 'Too long.'")

    page.page.fill("#more", "x")
    asked(page, 1)

    assert sorted(page.asks[0].headers["x-via"].removeprefix("validate; ").split(",")) == ["more", "text"]


def test_a_view_that_does_not_take_it_is_asked_once_and_the_form_works(strict: Any) -> None:
    page = opened(strict, {"status": 405})
    page.page.evaluate("addEventListener('via:validated', () => (window.judged = true))")
    page.page.fill("#text", "one")
    asked(page, 1)
    page.until("window.judged")
    page.page.fill("#text", "two")
    quiet(page)
    assert len(page.asks) == 1

    page.page.click("button")

    page.until("document.getElementById('text').value === ''")
    assert "two" in page.posts[0]
    page.errors = [one for one in page.errors if "Failed to load resource" not in one]
