"""State, fragments and templates for tests of what live pages render: everything in memory, declared for the test alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from via_state.declarations.registry import registry
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.memo import memos
from via_state.live.visitors.tokens import Ticket, digest
from via_state.live.visitors.visitor import Visitor

NOBODY = Ticket(language="en", timezone="UTC")


@dataclass(frozen=True)
class Said:
    """A line of text."""

    text: str

    def fold(self, lines: list[str]) -> list[str]:
        return [*lines, self.text]


@contextmanager
def declaring() -> Iterator[None]:
    """Within the block only that is declared which is declared in it."""
    with registry.isolated(), fragments.isolated():
        memos.clear()
        yield


def templates(**sources: str) -> override_settings:
    """Templates of these names, with ``.html`` after each, in an engine with the usual context processors."""
    processors = [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]
    loader = ("django.template.loaders.locmem.Loader", {f"{name}.html": text for name, text in sources.items()})
    options = {
        "context_processors": processors,
        "loaders": [("django.template.loaders.cached.Loader", [loader])],
        "libraries": {"humanize": "django.contrib.humanize.templatetags.humanize"},
    }
    backend = "django.template.backends.django.DjangoTemplates"
    return override_settings(TEMPLATES=[{"BACKEND": backend, "OPTIONS": options}])


def visitor(user: User | None = None, sid: str = "", language: str = "en", timezone: str = "UTC") -> Visitor:
    """A visitor as the hub has one, with a page's ticket."""
    ticket = Ticket(
        user="" if user is None else str(user.pk),
        session=digest("key" + sid) if user or sid else "",
        login="" if user is None else digest(user.get_session_auth_hash()),
        sid=sid,
        language=language,
        timezone=timezone,
    )
    return Visitor.of_ticket(ticket, host="testserver", secure=False)


def request(path: str = "/", **more: object) -> HttpRequest:
    """A request without a session."""
    made = RequestFactory().get(path)
    for name, value in more.items():
        setattr(made, name, value)
    return made
