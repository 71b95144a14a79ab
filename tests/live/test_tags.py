"""Template tags: a page that is whole without JavaScript, whose live places are what frames would make of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template import TemplateSyntaxError
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.urls import path
from django.utils.safestring import mark_safe

from tests.live.pieces import Said, declaring, request, templates, visitor
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser, live
from via_state.exceptions import (
    DeclarationError,
    FragmentUnknown,
    InvalidKey,
    NotBound,
    NotFollowed,
    SharedFragmentIsPersonal,
)
from via_state.live.checks import check_groups
from via_state.live.protocol.vector import ABSENT, dumps
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.marking import UNPAINTED
from via_state.live.rendering.renderer import code_of, group_of, render
from via_state.live.visitors.tokens import NodeToken, Ticket, TokenRefused, open_ticket, open_token
from via_state.live.visitors.visitor import Visitor
from via_state.testing import memory_pod

AGE = 10.0**9
LOAD = "{% load via_state %}"
shown: dict[str, Any] = {}


def page(incoming: HttpRequest) -> HttpResponse:
    return HttpResponse(
        render_to_string(
            "page.html",
            {
                key: one(incoming) if callable(one) and not isinstance(one, type) else one
                for key, one in shown.items()
            },
            incoming,
        )
    )


urlpatterns = [path("", page)]


@pytest.fixture(autouse=True)
def state() -> Iterator[None]:
    shown.clear()
    with declaring(), memory_pod(), override_settings(ROOT_URLCONF=__name__):
        yield


def rendered(source: str, made: HttpRequest | None = None, /, **context: Any) -> str:
    """A page with this template, without a session."""
    with templates(
        page=LOAD + source, **{key: context.pop(key) for key in list(context) if key.startswith("part")}
    ):
        return render_to_string("page.html", context, made or request())


def places(html: str) -> list[dict[str, str]]:
    """The live places of a page: their attributes, unescaped."""
    found = re.findall(r"<(\w+)([^>]*\bdata-via=[^>]*)>", html)
    return [
        {"tag": tag, **{name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', attributes)}}
        for tag, attributes in found
    ]


def token_of(place: dict[str, str], audience: str = "") -> NodeToken:
    return open_token(place["data-via"], audience, 2e9, AGE)


# Texts and attributes -----------------------------------------------------------------------------------------


def test_a_text_is_an_element_that_says_what_it_shows() -> None:
    class Chat(State):
        lines = StateAppEvents(Said, key="lines.{room}")

    Chat.lines.at(room=7).append(Said("<one>"))
    html = rendered('{% via_text "tests.Chat.lines" room=7 filter="first" tag="output" prefix="“" suffix="”" %}')
    (place,) = places(html)
    token = token_of(place)
    assert html == re.sub(">.*", ">“&lt;one&gt;”</output>", html)
    assert place["tag"] == "output"
    assert place["data-via-id"] == token.spec.id
    assert json.loads(place["data-via-at"])["lines.7"][1] == 1
    assert token.keys == ("lines.7",)
    assert token.code == ""
    assert render(token.spec, visitor()).body == "“<one>”"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", mark_safe("<img src=x onerror=alert(1)>"), "\"' onload=x", "a & b"]
)
def test_f4_what_state_says_is_text(text: str) -> None:
    class Chat(State):
        name = StateApp(str)

    Chat.name.set(text)
    html = rendered(
        '{% via_text "tests.Chat.name" %}<i {% via_attr "tests.Chat.name" to="title" %}></i>{{ one.text }}',
        one=Chat.name,
    )
    assert html.count("<") == 6
    first, attribute, last = places(html)
    assert attribute["title"] == text
    assert unescape(re.findall(r">([^<]*)</span>", html)[0]) == text
    assert first == last


@pytest.mark.parametrize(
    ("to", "value", "written"),
    [
        ("value", 40, ' value="40"'), ("value", None, ""), ("hidden", True, ' hidden=""'), ("hidden", False, ""),
        ("href", "/a/", ' href="/a/"'), ("href", "java\tscript:alert(1)", ""), ("xlink:href", " JavaScript:x", ""), ("text", "Mail", ""),
    ],
)  # fmt: skip
def test_an_attribute_is_written_as_the_client_would(to: str, value: Any, written: str) -> None:
    class Job(State):
        done = StateApp[int | str | bool | None](default=None)

    Job.done.set(value)
    html = rendered(f'<b {{% via_attr "tests.Job.done" to="{to}" %}}></b>')
    assert html.endswith(f' data-via-to="{to}"{written}></b>')
    (place,) = places(html)
    at = {"done": render(token_of(place).spec, visitor()).at["done"]}
    assert place["data-via-at"] == dumps({} if to == "text" else at)


@pytest.mark.parametrize(
    "to", ["onclick", "ONCLICK", "srcdoc", "style", "data-via", "data-via-at", "a b", "", "x=y"]
)
def test_f4_no_attribute_runs_a_script(to: str) -> None:
    class Job(State):
        done = StateApp(int)

    with pytest.raises(DeclarationError, match="attribute"):
        rendered('<b {% via_attr "tests.Job.done" to=to %}></b>', to=to)


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ('{% via_text "tests.Chat.cuont" %}', DeclarationError, "Did you mean 'tests.Chat.count'"),
        ('{% via_text "tests.Chat.room" %}', InvalidKey, "room is missing"),
        ('{% via_text "tests.Chat.count" room=1 %}', InvalidKey, "no parameters"),
        ('{% via_text "tests.Chat.room" room=1.5 %}', DeclarationError, "float"),
        ('{% via_text "tests.Chat.count" filter="nothing" %}', LookupError, "nothing"),
        ('{% via_text "tests.Chat.count" tag="script" %}', DeclarationError, "script"),
        ("{% via_text %}", TemplateSyntaxError, "via_text"),
        ("{% via_text room=1 %}", TemplateSyntaxError, "via_text"),
        ('{% via_text "tests.Chat.count" 7 %}', TemplateSyntaxError, "via_text"),
        ('{% via_attr "tests.Chat.count" %}', TemplateSyntaxError, "to="),
        ("{% via_text 7 %}", DeclarationError, "int"),
        ('{% via_live "nothing.html" %}', FragmentUnknown, "nothing"),
    ],
)
def test_a_tag_that_can_not_work_says_why(source: str, error: type[Exception], match: str) -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")

    with pytest.raises(error, match=match):
        rendered(source)


def test_a_declaration_is_given_as_it_is() -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")

    Chat.room.at(room="a b").set(4)
    named = rendered('{% via_text "tests.Chat.count" %}{% via_text "tests.Chat.room" room="a b" %}')
    assert (
        rendered("{% via_text Chat.count %}{% via_text room %}", Chat=Chat, room=Chat.room.at(room="a b")) == named
    )
    assert rendered("{{ Chat.count.text }}{{ room.text }}", Chat=Chat, room=Chat.room.at(room="a b")) == named
    assert ">4<" in named


def test_without_a_request_a_text_is_a_plain_element() -> None:
    class Chat(State):
        count = StateApp(int)
        mine = StateUser(int)

    @live.fragment("partroom.html", shared=True)
    def room() -> dict[str, Any]:
        return {}

    @live.fragment("partmine.html")
    def mine(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(
        page=LOAD
        + '{% via_text "tests.Chat.count" %}{% via_live "partroom.html" %}<i {% via_attr "tests.Chat.count" to="title" %}>',
        mail=LOAD + '{% via_text "tests.Chat.mine" %}',
        other=LOAD + '{% via_live "partmine.html" %}',
        partroom="x",
        partmine="x",
    ):
        assert render_to_string("page.html") == '<span>0</span><div>x</div><i data-via-to="title" title="0">'
        for name in ("mail.html", "other.html"):
            with pytest.raises(NotBound, match="request"):
                render_to_string(name)


# Whose it is --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_t3_state_of_a_visitor_has_a_token_for_this_visitor_alone() -> None:
    class Inbox(State):
        unread = StateUser(int, key="inbox.unread")
        draft = StateSess(str, key="draft")
        all = StateApp(int)

    ann = User.objects.create_user("ann")
    Inbox(ann).unread.set(3)
    shown.update(Inbox=lambda made: Inbox(made))
    source = '{% via_text "tests.Inbox.unread" %}{% via_text Inbox.unread %}{% via_text request.user|state:"tests.Inbox.unread" %}{{ Inbox.unread.text }}{% via_text "tests.Inbox.draft" %}'
    client, other = Client(), Client()
    client.force_login(ann)
    other.force_login(User.objects.create_user("ben"))
    with templates(page=LOAD + source, public=LOAD + '{% via_text "tests.Inbox.all" %}'):
        answer = client.get("/")
        *unread, draft = places(answer.content.decode())
        assert len(unread) == 4
        assert unread == [unread[0]] * 4
        who = Visitor.of_request(answer.wsgi_request).ticket
        assert token_of(unread[0], who.audience).keys == ("~user.inbox.unread",)
        assert "via.user" not in answer.content.decode()
        assert token_of(draft, who.audience).spec.audience == "session"
        assert answer.headers["Cache-Control"] == "private"
        assert "Cookie" in answer.headers["Vary"]

        theirs = Visitor.of_request(other.get("/").wsgi_request).ticket
        for audience in ("", theirs.audience, Ticket().audience):
            with pytest.raises(TokenRefused):
                token_of(unread[0], audience)
        client.logout()
        client.force_login(ann)
        assert Visitor.of_request(client.get("/").wsgi_request).ticket.audience != who.audience


@pytest.mark.django_db(transaction=True)
def test_t3_a_token_that_a_cache_gives_to_somebody_else_is_refused() -> None:
    class Inbox(State):
        unread = StateUser(int)

    ann, ben = Client(), Client()
    ann.force_login(User.objects.create_user("ann"))
    ben.force_login(User.objects.create_user("ben"))
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "t3"}}
    source = (
        '{% load cache %}{% cache 60 "unread" %}{% via_text "tests.Inbox.unread" %}{% endcache %}{% via_scripts %}'
    )
    with templates(page=LOAD + source), override_settings(CACHES=caches):
        (first,) = places(ann.get("/").content.decode())
        answer = ben.get("/")
        assert places(answer.content.decode()) == [first]
        with pytest.raises(TokenRefused):
            token_of(first, Visitor.of_request(answer.wsgi_request).ticket.audience)


@pytest.mark.django_db(transaction=True)
def test_t3_a_page_for_everybody_may_be_cached_and_starts_no_session() -> None:
    class Chat(State):
        count = StateApp(int)

    @live.fragment("partroom.html", shared=True)
    def room() -> dict[str, Any]:
        return {}

    @live.fragment("partallowed.html", shared=True, allow=lambda user: True)
    def allowed() -> dict[str, Any]:
        return {}

    public = LOAD + '{% via_text "tests.Chat.count" %}{% via_live "partroom.html" shared %}'
    with templates(page=public, partroom="x"):
        answer = Client().get("/")
        assert [token_of(place).audience for place in places(answer.content.decode())] == ["", ""]
        assert "Cache-Control" not in answer.headers
        assert not answer.cookies
    with templates(
        page=public + '{% via_live "partallowed.html" %}{% via_scripts %}', partroom="x", partallowed="y"
    ):
        answer = Client().get("/")
        assert answer.headers["Cache-Control"] == "private"
        assert set(answer.cookies) == {"csrftoken"}
        *_, last = places(answer.content.decode())
        with pytest.raises(TokenRefused):
            token_of(last)


@pytest.mark.django_db(transaction=True)
def test_state_that_is_bound_to_somebody_else_is_no_live_text_of_this_page() -> None:
    class Inbox(State):
        unread = StateUser(int)

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    client = Client()
    client.force_login(ann)
    shown.update(other=lambda made: Inbox(ben).unread, own=lambda made: Inbox(ann).unread)
    with templates(page=LOAD + "{% via_text own %}"):
        assert client.get("/").status_code == 200
    with templates(page=LOAD + "{% via_text other %}"), pytest.raises(NotFollowed, match="somebody else"):
        client.get("/")


@pytest.mark.django_db(transaction=True)
def test_only_a_user_whom_the_session_signed_in_is_in_the_ticket() -> None:
    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    client = Client()
    client.force_login(ann)
    with templates(page=""):
        made = client.get("/").wsgi_request
        assert Visitor.of_request(made).ticket.user == str(ann.pk)
        del made._via_visitor  # type: ignore[attr-defined]
        made.user = ben  # as a token in a header does
        assert Visitor.of_request(made).ticket.user == ""
        assert not Visitor.of_request(made).user.is_authenticated
    assert Visitor.of_request(request(user=ann)).ticket.user == ""


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


# The head -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_script_knows_the_page_and_its_settings() -> None:
    client = Client()
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    with (
        templates(page=LOAD + '{% via_group "staff" %}{% via_scripts %}'),
        override_settings(VIA_STATE={"LIVE_SLEEP": None, "LIVE_GROUPS": f"{__name__}.groups_of"}),
    ):
        answer = client.get("/?a=1")
    html = answer.content.decode()
    script = re.findall(r"<script([^>]*)></script>", html)
    data = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', script[0])}
    ticket = open_ticket(data.pop("data-via-page"), 2e9, AGE)
    assert (ticket.user, ticket.path, ticket.groups) == (str(ann.pk), "/?a=1", ("people", "staff"))
    assert (ticket.language, ticket.timezone) == ("en-us", "UTC")
    data.pop("nonce", None)
    assert data.pop("data-via-csrf")
    assert data.pop("data-via-unsent").endswith("again.")
    assert data.pop("data-via-unknown").endswith("again.")
    assert data == {
        "type": "module",
        "src": "/static/via_state/via-1.js",
        "data-via-url": "/via/live/",
        "data-via-poll": "15",
    }
    assert answer.headers["Cache-Control"] == "private"


def groups_of(made: HttpRequest) -> list[str]:
    return ["people"] if made.user.is_authenticated else []


def test_scripts_of_broadcasts_run_only_where_a_setting_says_so() -> None:
    with override_settings(VIA_STATE={"LIVE_SCRIPTS": True}):
        assert ' data-via-scripts="1"' in rendered("{% via_scripts %}")
    assert "data-via-scripts" not in rendered("{% via_scripts %}")


@pytest.mark.parametrize("where", ["request", "context", "django"])
def test_the_pages_nonce_is_on_what_it_allows(where: str) -> None:
    made = request(
        **{"csp_nonce": "abc"} if where == "request" else {"_csp_nonce": "abc"} if where == "django" else {}
    )
    html = rendered("{% via_scripts %}", made, **({"csp_nonce": "abc"} if where == "context" else {}))
    assert html.count(' nonce="abc"') == 1
    assert "<style" not in html, "nothing is hidden from others here"


def test_what_belongs_into_the_head_says_so() -> None:
    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(page=LOAD + "{% via_scripts %}"), pytest.raises(Exception, match="head"):
        render_to_string("page.html")
    with pytest.raises(Exception, match="head"):
        rendered('{% via_live "partroom.html" %}', partroom=LOAD + "{% via_scripts %}")
    with pytest.raises(DeclarationError, match="before"):
        rendered('{% via_scripts %}{% via_group "staff" %}')
    with pytest.raises(DeclarationError, match="characters"):
        rendered('{% via_group "" %}')
    many = "".join(f'{{% via_group "group of a long name {number}" %}}' for number in range(200))
    with pytest.raises(DeclarationError, match="200 groups"):
        rendered(many + "{% via_scripts %}")


def test_what_does_not_fit_into_a_token_is_refused() -> None:
    class Chat(State):
        room = StateApp(int, key="a-room-whose-key-is-long.{room}")

    @live.fragment("partrooms.html", shared=True)
    def rooms(size: int) -> dict[str, Any]:
        return {"sum": sum(Chat.room.at(room=f"{number}{'x' * size}").read() for number in range(64))}

    assert rendered('{% via_live "partrooms.html" size=1 %}', partrooms="{{ sum }}")
    with pytest.raises(NotFollowed, match="64 keys"):
        rendered('{% via_live "partrooms.html" size=40 %}', partrooms="{{ sum }}")


@pytest.mark.django_db(transaction=True)
def test_what_is_mine_is_hidden_from_others() -> None:
    @live.fragment("parttable.html", shared=True)
    def table() -> dict[str, Any]:
        return {"author": ann.pk}

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    source = (
        LOAD
        + '{% via_scripts %}<b {% via_mine author %}></b><b {% via_mine user %}></b><b {% via_mine nobody %}></b>{% via_live "parttable.html" %}'
    )
    shown.update(author=ann.pk, nobody=None)
    found = {}
    with templates(page=source, parttable=LOAD + "<b {% via_mine author %}></b>"):
        for name, user in {"ann": ann, "ben": ben, "nobody": None}.items():
            client = Client()
            if user is not None:
                client.force_login(user)
            html = client.get("/").content.decode()
            assert html.count("<style") == 1
            mine = re.findall(r'not\(\[data-via-mine="([^"]+)"', html)[0]
            found[name] = [
                (value == mine, bool(hidden))
                for value, hidden in re.findall(r'<b data-via-mine="([^"]*)"( hidden)?>', html)
            ]
    assert found["ann"] == [(True, False), (True, False), (False, True), (True, False)]
    assert found["ben"] == [(False, True), (True, False), (False, True), (False, False)]
    assert found["nobody"] == [(False, True), (False, True), (False, True), (False, False)]


def test_tokens_of_a_part_of_their_life_are_the_same_text() -> None:
    class Chat(State):
        count = StateApp(int)

    assert rendered('{% via_text "tests.Chat.count" %}') == rendered('{% via_text "tests.Chat.count" %}')
    assert ABSENT.record == "-"


@pytest.mark.django_db(transaction=True)
def test_o1_nothing_that_opens_something_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Inbox(State):
        draft = StateSess(str)

    @live.fragment("partroom.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {"draft": Inbox(visitor).draft.read()}

    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_user("ann"))
    caplog.set_level(0)
    with templates(
        page=LOAD + '{% via_scripts %}{% via_live "partroom.html" %}{{ request.user|state:"x" }}',
        partroom="{{ draft }}",
    ):
        client.get("/")
    secrets = [client.session.session_key, client.session["_auth_user_hash"]]
    assert caplog.records
    text = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert not any(secret in text for secret in secrets)


def found_by_checks() -> list[tuple[str, str]]:
    from via_state.checks import check_fragments

    return [(str(one.id), str(one.obj)) for one in check_fragments()]


def test_checks_name_fragments_that_can_not_work() -> None:
    @live.fragment("good.html")
    def good(visitor: live.Visitor, room: int, *, day: date = date(2026, 1, 1)) -> dict[str, Any]:
        return {}

    @live.fragment("missing.html", shared=True)
    def missing() -> dict[str, Any]:
        return {}

    @live.fragment("broken.html", shared=True)
    def broken() -> dict[str, Any]:
        return {}

    @live.fragment("personal.html", shared=True)
    def personal(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    @live.fragment("nobody.html")
    def nobody() -> dict[str, Any]:
        return {}

    @live.fragment("untyped.html", shared=True)
    def untyped(room) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        return {}

    @live.fragment("many.html")
    def many(visitor: live.Visitor, *rooms: int) -> dict[str, Any]:
        return {}

    @live.fragment("list.html", shared=True)
    def several(rooms: list[int]) -> dict[str, Any]:
        return {}

    names = dict.fromkeys(("good", "personal", "nobody", "untyped", "many", "list"), "")
    with templates(**names, broken="{% if %}"):
        found = found_by_checks()
    assert found == [
        ("via_state.E041", "The fragment 'missing.html'"),
        ("via_state.E041", "The fragment 'broken.html'"),
        *(
            ("via_state.E042", f"The fragment '{name}.html'")
            for name in ("personal", "nobody", "untyped", "many", "list")
        ),
    ]
    with pytest.raises(DeclarationError, match="'visitor'"):
        fragments.get("personal.html").spec({})


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (None, []),
        (f"{__name__}.groups_of", []),
        (f"{__name__}.group_of_nobody", ["via_state.E043"]),
        (f"{__name__}.LOAD", ["via_state.E043"]),
    ],
)
def test_a_check_names_groups_that_nobody_can_ask_for(groups: str | None, found: list[str]) -> None:
    with override_settings(VIA_STATE={"LIVE_GROUPS": groups}):
        assert [one.id for one in check_groups()] == found


def test_a_template_has_one_function() -> None:
    def declare(module: str) -> None:
        def room() -> dict[str, Any]:
            return {}

        room.__module__ = module
        live.fragment("room.html", shared=True)(room)

    declare("one")
    declare("one")  # its module was loaded again
    with pytest.raises(DeclarationError, match="twice"):
        declare("other")
