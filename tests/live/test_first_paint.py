"""What the tags write into a page is what frames make of it: in a browser a frame of the same moment changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Browser

from tests.live.pages import LivePage
from tests.live.pieces import Said, declaring, request, templates
from tests.live.tagged import LOAD, places, token_of
from via_state import State, StateApp, StateAppEvents, live
from via_state.live.protocol.vector import dumps
from via_state.live.rendering.renderer import render
from via_state.live.visitors.visitor import Visitor
from via_state.testing import memory_pod

pytestmark = pytest.mark.browser

PAGE = """{% via_text "tests.Chat.title" tag="h1" prefix="<" %}<progress max="9" {% via_attr "tests.Chat.done" to="value" %}></progress>
<input {% via_attr "tests.Chat.title" to="value" %}><ul>{% via_live "room.html" room=7 tag="li" %}</ul>
<table>{% via_live "table.html" tag="tbody" shared %}</table>"""
ROOM = """<ol>{% via_for line in lines with room %}<li class="{{ room }}">{{ line }} {% via_text "tests.Chat.likes" line=line %}</li>{% endvia_for %}</ol>
<form method="post">{% csrf_token %}<input name="text" value="draft"><textarea name="more">
{{ lines.0 }}</textarea><select name="s"><option>a<option selected>b</select></form>
<b {% via_attr "tests.Chat.done" to="title" suffix="%" %}>{{ user.is_authenticated }}</b>"""
TABLE = "{% via_for line in lines %}<tr id='r{{ line.0 }}'><td>{{ line|join:'&' }}<td>x</tr>{% endvia_for %}"


class Site:
    """A page, and the state that it shows. Playwright runs an event loop in this thread, so the server's side has a thread of its own."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self.made = request()
        self.body = thread.submit(self._begin).result()

    def _begin(self) -> str:
        class Chat(State):
            title = StateApp(str, default="<Chat> & 'co'")
            done = StateApp(int)
            likes = StateApp(int, key="likes.{line}")
            room = StateAppEvents(Said, key="room.{room}")

        @live.fragment("room.html")
        def room(visitor: live.Visitor, room: int) -> dict[str, Any]:
            return {"lines": Chat.room.at(room=room).read(), "room": room}

        @live.fragment("table.html", shared=True)
        def table() -> dict[str, Any]:
            return {"lines": [("1", "a"), ("2", "<b>")]}

        self._lines = Chat.room.at(room=7)
        self._lines.append(Said('hello\n"you" & <i>'))
        self._lines.append(Said("two"))
        return str(render_to_string("page.html", {}, self.made))

    def say(self, text: str) -> None:
        """Append a line."""
        self._thread.submit(self._lines.append, Said(text)).result()

    def frames(self) -> list[list[Any]]:
        """A whole frame of each node of the page."""
        return self._thread.submit(self._frames).result()

    def _frames(self) -> list[list[Any]]:
        who = Visitor.of_request(self.made)
        found: dict[str, list[Any]] = {}
        for place in places(self.body):
            spec = token_of(place, who.ticket.audience).spec
            content = render(spec, who)
            at = json.loads(dumps(content.at))
            kind = ["t", content.body] if spec.kind == "text" else ["h", content.body, "e1"]
            found[spec.id] = [spec.id, at, *kind]
        return list(found.values())


@pytest.fixture
def site() -> Iterator[Site]:
    with ThreadPoolExecutor(1) as thread, ExitStack() as stack:
        enter, leave = stack.enter_context, stack.pop_all
        pieces = (declaring(), templates(page=LOAD + PAGE, room=LOAD + ROOM, table=LOAD + TABLE), memory_pod())
        thread.submit(lambda: [enter(one) for one in pieces]).result()
        left = leave()
        try:
            yield Site(thread)
        finally:
            thread.submit(left.close).result()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[LivePage]:
    token = site.made._via_csrf  # type: ignore[attr-defined]
    with LivePage(browser, site.body, csrf=token) as page:
        page.online()
        yield page
        assert page.errors == []


def test_a_frame_of_the_same_moment_changes_nothing_in_the_page(page: LivePage, site: Site) -> None:
    made = site.frames()
    assert len(made) == 8
    page.page.evaluate(
        """window.seen = []; new MutationObserver((all) => {
            for (const { type, attributeName: name, oldValue, target } of all)
                if (type !== "attributes" || target.getAttribute(name) !== oldValue) window.seen.push(type + " " + name);
        }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeOldValue: true, characterData: true })"""
    )
    before = page.page.evaluate("document.body.innerHTML")
    page.frame(*made)
    page.frame([made[0][0], {**made[0][1]}, "t", "painted"])

    page.until("document.querySelector('h1').textContent === 'painted'")
    seen = page.page.evaluate("window.seen")
    assert seen == ["childList null"], "the one that was painted"
    after = page.page.evaluate("document.body.innerHTML")
    assert after.replace(">painted</h1>", "") == before.replace(">&lt;&lt;Chat&gt; &amp; 'co'</h1>", "")


def test_what_is_live_inside_a_block_is_not_touched_by_the_blocks_frames(page: LivePage, site: Site) -> None:
    site.say("three")

    page.frame(*[frame for frame in site.frames() if "room.7" in frame[1]])

    page.until("document.querySelectorAll('ol > li').length === 3")
    assert page.page.evaluate("[...document.querySelectorAll('ol span')].map((one) => one.textContent)") == [
        "0",
        "0",
        "",
    ]
    assert page.page.evaluate("document.querySelector('b').title") == "0%"
    (asked,) = page.heard(lambda said: "add" in said)["add"]
    assert asked[1] == {}
    assert token_of({"data-via": asked[0]}).keys == ("likes.three",)
