"""State in Django's templates."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents, StateUser


class Feed(State):
    items = StateAppEvents(AddItem, key="template.items")
    banner = StateApp(str, key="template.banner")
    theme = StateUser(str, default="auto", key="template.theme")


def render(text: str, **context: object) -> str:
    return Template(text).render(Context(context))


def test_a_template_reads_state_from_the_class() -> None:
    Feed.items.append_many([AddItem("a"), AddItem("b")])
    Feed.banner.set("<b>")
    text = "{% for item in Feed.items.read %}{{ item }},{% endfor %} {{ Feed.banner.read }}"
    assert render(text, Feed=Feed) == "a,b, &lt;b&gt;"


def test_a_template_reads_state_of_an_owner(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    assert render("{{ feed.theme.read }}", feed=Feed(request)) == "auto"


async def test_a_template_reads_plain_state_in_an_event_loop() -> None:
    await Feed.banner.aset("hello")
    assert render("{{ Feed.banner.read }} {{ Feed.items.read|length }}", Feed=Feed) == "hello 0"
