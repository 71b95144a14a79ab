"""Live blocks of a page and their rows: what is in the page, and in frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.template import TemplateSyntaxError
from django.test import Client

from tests.live.pieces import Said, request, templates, visitor
from tests.live.tagged import LOAD, blank, places, rendered, token_of
from via_state import State, StateApp, StateAppEvents, StateUser, live
from via_state.exceptions import (
    DeclarationError,
    SharedFragmentIsPersonal,
)
from via_state.live.protocol.vector import dumps
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.marking import UNPAINTED
from via_state.live.rendering.renderer import code_of, group_of, render
from via_state.live.visitors.tokens import Ticket
from via_state.live.visitors.visitor import Visitor


@pytest.fixture(autouse=True)
def state() -> Iterator[None]:
    with blank():
        yield


# Blocks -------------------------------------------------------------------------------------------------------


def test_a_block_is_in_the_page_as_a_frame_would_have_it() -> None:
    class Chat(State):
        room = StateAppEvents(Said, key="room.{room}")

    @live.fragment("partroom.html")
    def room(visitor: live.Visitor, room: int) -> dict[str, Any]:
        return {"lines": Chat.room.at(room=room).read()}

    Chat.room.at(room=7).append(Said("<b>"))
    made = request()
    source = '{% via_live "partroom.html" room=7 tag="section" %}'
    part = LOAD + "{% for line in lines %}<p>{{ line }}</p>{% endfor %}<i>{{ request.scheme }}</i>"
    html = rendered(source, made, partroom=part)
    (place,) = places(html)
    who = Visitor.of_request(made)
    token = token_of(place, who.ticket.audience)
    with templates(partroom=part):
        frame = render(token.spec, who)
        assert token.code == code_of(token.spec) != ""
    assert html == f"<section{html.partition('<section')[2].partition('>')[0]}>{frame.body}</section>"
    assert frame.body == "<p>&lt;b&gt;</p><i>http</i>"
    assert token.keys == ("room.7",)
    assert place["data-via-at"] == dumps(frame.at)


def test_the_page_has_its_csrf_token_where_frames_have_a_placeholder() -> None:
    @live.fragment("partform.html")
    def form(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(page=LOAD + '{% via_live "partform.html" %}{% via_scripts %}', partform="{% csrf_token %}"):
        html = Client(enforce_csrf_checks=True).get("/").content.decode()
        spec = token_of(places(html)[0], Ticket(language="en-us", timezone="UTC").audience).spec
        frame = render(spec, visitor())
    (token,) = re.findall(r'data-via-csrf="([^"]+)"', html)
    assert frame.body == '<input type="hidden" name="csrfmiddlewaretoken" value="via-csrf">'
    assert frame.body.replace("via-csrf", token) in html


def test_nodes_in_a_block_are_whole_in_the_page_and_empty_in_frames() -> None:
    class Chat(State):
        count = StateApp(int)
        title = StateApp(str, default="t")

    @live.fragment("partouter.html")
    def outer(visitor: live.Visitor) -> dict[str, Any]:
        return {"title": Chat.title.read()}

    @live.fragment("partinner.html")
    def inner(visitor: live.Visitor, number: int) -> dict[str, Any]:
        return {"count": Chat.count.read(), "number": number}

    made = request()
    parts = {
        "partouter": LOAD
        + '{{ title }}{% via_text "tests.Chat.count" %}<b {% via_attr "tests.Chat.count" to="title" %}></b>{% via_live "partinner.html" number=2 %}',
        "partinner": "{{ number }}:{{ count }}",
    }
    html = rendered('{% via_live "partouter.html" %}', made, **parts)
    block, text, attribute, nested = places(html)
    who = Visitor.of_request(made)
    assert re.sub("<[^>]*>", "|", html) == "|t|0||||2:0||"
    assert attribute["title"] == "0"
    with templates(**parts):
        spec = token_of(block, who.ticket.audience).spec
        frame = render(spec, who).body
        assert frame is not None
        assert frame == render(spec, who.again()).body
        Chat.count.set(5)
        assert render(spec, who).body == frame, "what is inside moves by itself"
    assert re.sub("<[^>]*>", "|", frame) == "t||||||"
    inside = places(frame)
    assert [place["data-via-id"] for place in inside] == [one["data-via-id"] for one in (text, attribute, nested)]
    assert {place["data-via-at"] for place in inside} == {"{}"}
    assert "title" not in inside[1]
    assert token_of(inside[0]).keys == ("count",)
    assert token_of(inside[2], who.ticket.audience).keys == ()


def test_a_text_that_follows_no_state_is_asked_for_all_the_same() -> None:
    class Inbox(State):
        unread = StateUser(int)

    @live.fragment("partouter.html")
    def outer(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    part = LOAD + '{% via_text "tests.Inbox.unread" %}'
    made = request()
    html = rendered('{% via_live "partouter.html" %}', made, partouter=part)
    who = Visitor.of_request(made)
    with templates(partouter=part):
        frame = render(token_of(places(html)[0], who.ticket.audience).spec, who).body
    assert places(html)[1]["data-via-at"] == "{}"
    assert places(str(frame))[0]["data-via-at"] == dumps(UNPAINTED)


def test_f2_a_shared_block_has_nothing_in_it_that_is_of_one_visitor() -> None:
    class Inbox(State):
        unread = StateUser(int)

    @live.fragment("parttable.html", shared=True)
    def table() -> dict[str, Any]:
        return {}

    @live.fragment("partmine.html")
    def mine(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    @live.fragment("partstaff.html", shared=True, allow=lambda user: True)
    def staff() -> dict[str, Any]:
        return {}

    for inside in (
        '{% via_text "tests.Inbox.unread" %}',
        '{% via_live "partmine.html" %}',
        '{% via_live "partstaff.html" %}',
    ):
        with pytest.raises(SharedFragmentIsPersonal):
            rendered('{% via_live "parttable.html" %}', parttable=LOAD + inside, partmine="", partstaff="")


def test_f6_a_place_that_is_not_for_this_visitor_is_empty() -> None:
    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        raise PermissionDenied("this text is nobody's business")

    @live.fragment("partstaff.html", shared=True, allow=lambda user: user.is_staff)
    def staff() -> dict[str, Any]:
        raise AssertionError("it was asked first")

    html = rendered(
        '{% via_live "partroom.html" tag="p" %}{% via_live "partstaff.html" %}', partroom="", partstaff=""
    )
    assert html == '<p data-via-gone="denied"></p><div data-via-gone="denied"></div>'


def test_the_word_shared_is_held_to_be_true() -> None:
    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with pytest.raises(DeclarationError, match="not shared"):
        rendered('{% via_live "partroom.html" shared %}', partroom="")


def test_with_by_page_a_block_is_of_the_pages_address() -> None:
    @live.fragment("partnav.html", by_page=True)
    def nav(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    html = rendered(
        '{% via_live "partnav.html" %}', request("/a/?q=<1>"), partnav="{{ request.path }} {{ request.GET.q }}"
    )
    assert html.endswith(">/a/ &lt;1&gt;</div>")


# Rows ---------------------------------------------------------------------------------------------------------


class Row:
    """A row that counts how often it is looked at."""

    def __init__(self, name: str) -> None:
        self._name, self.looks = name, 0

    def name(self) -> str:
        self.looks += 1
        return self._name


def rows_of(rows: list[Any], **more: Any) -> Any:
    """A function that renders a block with these rows as a frame."""

    @live.fragment("rows.html", shared=True)
    def table() -> dict[str, Any]:
        return {"rows": rows, **more}

    spec = fragments.get("rows.html").spec({})
    return lambda: render(spec, visitor()).body


def test_a_row_that_is_the_same_object_is_not_rendered_again() -> None:
    rows = [Row("a"), Row("b"), Row("c")]
    with templates(rows=LOAD + "{% via_for row in rows %}<i>{{ row.name }}</i>{% empty %}none{% endvia_for %}"):
        frame = rows_of(rows)
        assert frame() == frame() == "<i>a</i><i>b</i><i>c</i>"
        assert [row.looks for row in rows] == [1, 1, 1]
        rows[:] = [Row("x"), rows[2], rows[1]]
        assert frame() == "<i>x</i><i>c</i><i>b</i>"
        assert [row.looks for row in rows] == [1, 1, 1]
        rows.clear()
        assert frame() == "none"


def test_rows_are_made_again_where_what_they_use_is_another() -> None:
    rows, more = [Row("a")], {"unit": "€"}

    @live.fragment("rows.html", shared=True)
    def table() -> dict[str, Any]:
        return {"rows": rows, **more}

    source = (
        LOAD
        + "{% via_for row in rows with unit %}{{ row.name }}{{ unit }}{% if row.name %}!{% endif %}{% endvia_for %}"
    )
    with templates(rows=source):
        spec = fragments.get("rows.html").spec({})
        assert render(spec, visitor()).body == render(spec, visitor()).body == "a€!"
        assert rows[0].looks == 2
        more["unit"] = "$"
        assert render(spec, visitor()).body == "a$!"
        assert rows[0].looks == 4
        assert render(spec, visitor(language="de")).body == "a$!"
        assert rows[0].looks == 6, "each language has rows of its own"


def test_f4_rows_are_made_again_where_they_are_escaped_in_another_way() -> None:
    rows = ["<b>"]
    source = "{% autoescape off %}{% include 'part.html' %}{% endautoescape %}{% include 'part.html' %}"
    swapped = "{% include 'part.html' %}{% autoescape off %}{% include 'part.html' %}{% endautoescape %}"
    part = LOAD + "{% via_for row in rows %}{{ row }}{% endvia_for %}"
    for page, shown in ((source, "<b>&lt;b&gt;"), (swapped, "&lt;b&gt;<b>")):
        with templates(rows=page, part=part):
            frame = rows_of(rows)
            assert [frame(), frame()] == [shown, shown]


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("{{ forloop.counter }}", "know its number"),
        ("{{ currency }}", "with currency"),
        ("{% if currency %}{% endif %}", "with currency"),
        ("{% if currency == 1 %}{% endif %}", "with currency"),
        ("{% include 'part.html' %}", "with currency"),
        ("{% cycle 'a' 'b' %}", "cycle"),
        ("{% ifchanged row %}{% endifchanged %}", "ifchanged"),
    ],
)
def test_a_body_that_uses_more_than_its_row_is_refused(body: str, match: str) -> None:
    source = f"{LOAD}{{% via_for row in rows %}}{body}{{% endvia_for %}}"
    with templates(rows=source, part="{{ currency }}"), pytest.raises(TemplateSyntaxError, match=match):
        rows_of([1], currency="€")()


@pytest.mark.parametrize(
    "tag", ["row", "row in", "row of rows", "row in rows using x", "row in rows with", "r.x in rows"]
)
def test_a_loop_that_is_none_is_refused(tag: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="via_for"):
        rendered(f"{{% via_for {tag} %}}{{% endvia_for %}}")


def test_live_places_in_rows_are_in_pages_and_in_frames() -> None:
    class Chat(State):
        likes = StateApp(int, key="likes.{line}")

    @live.fragment("partrows.html")
    def lines(visitor: live.Visitor) -> dict[str, Any]:
        return {"rows": rows}

    rows = [("1",), ("2",)]
    part = (
        LOAD
        + '{% via_for row in rows %}<li>{% via_text "tests.Chat.likes" line=row.0 %}{% csrf_token %}</li>{% endvia_for %}'
    )
    made = request()
    html = rendered('{% via_live "partrows.html" %}', made, partrows=part)
    assert len(places(html)) == 3
    assert html.count(">0</span>") == 2
    who = Visitor.of_request(made)
    with templates(partrows=part):
        spec = token_of(places(html)[0], who.ticket.audience).spec
        frames = [render(spec, who).body for _ in range(2)]
    assert frames[0] == frames[1]
    assert str(frames[0]).count("></span>") == 2
    assert group_of(spec, who)[1] == who.ticket.audience
    Chat.likes.at(line="1").set(1)
    assert rendered('{% via_live "partrows.html" %}', made, partrows=part).count(">1</span>") == 1


def test_outside_of_blocks_via_for_is_a_loop() -> None:
    class Chat(State):
        likes = StateApp(int, key="likes.{line}")

    source = '{% via_for row in rows %}{{ row }}{% via_text "tests.Chat.likes" line=row %}{% endvia_for %}'
    assert re.sub("<[^>]*>", "|", rendered(source, rows=["a", "b"])) == "a|0|b|0|"
