"""State in Django's templates."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import RequestFactory

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents, StateSess, StateSessEvents, StateUser, StateUserEvents
from via_state.declarations.handle import READS, Handle
from via_state.pod.pod import Pod


class Feed(State):
    items = StateAppEvents(AddItem, key="template.items")
    banner = StateApp(str, key="template.banner")
    theme = StateUser(str, default="auto", key="template.theme")
    visit = StateSess(str, key="template.visit")
    room = StateAppEvents(AddItem, key="template.room.{room}")


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


def kinds(base: type[Any] = Handle) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


LOGS = (StateAppEvents, StateSessEvents, StateUserEvents)


def verbs(kind: type[Any]) -> set[str]:
    """All public methods that a kind of declaration adds to addressing it."""
    return {
        name
        for name in dir(kind)
        if not name.startswith("_") and not hasattr(Handle, name) and inspect.isfunction(getattr(kind, name))
    }


def test_every_verb_is_either_known_to_read_or_closed_to_templates() -> None:
    assert {StateApp, StateSess, StateUser, *LOGS} <= set(kinds())
    for kind in kinds():
        closed = {name for name in verbs(kind) if getattr(getattr(kind, name), "alters_data", False)}
        assert verbs(kind) - closed <= READS
        assert not closed & READS
    for kind in (StateApp, StateSess, StateUser):
        assert verbs(kind) - READS == {"update", "aupdate", "set", "aset", "reset", "areset"}
    appends = {"append", "append_many", "append_on_commit"}
    for log in LOGS:
        assert verbs(log) - READS == appends | {f"a{one}" for one in appends} | {"migration", "on_event"}


@pytest.mark.parametrize("verb", ["reset", "areset"])
def test_a_template_erases_nothing(verb: str, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = User(pk=7)
    feed = Feed(request)
    Feed.banner.set("hello")
    feed.theme.set("dark")
    text = f"{{{{ Feed.banner.{verb} }}}}{{{{ feed.banner.{verb} }}}}{{{{ feed.theme.{verb} }}}}"
    assert render(text, Feed=Feed, feed=feed) == ""
    assert [Feed.banner.read(), feed.theme.read()] == ["hello", "dark"]


def test_a_template_closes_no_pod(pod: Pod) -> None:
    assert render("{{ pod.close }}{{ pod.thread.stop }}", pod=pod) == ""
    assert Feed.banner.using(pod).read() == ""
