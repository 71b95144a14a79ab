"""A page of one template, and what a test reads of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import override_settings
from django.urls import path

from tests.live.pieces import declaring, request, templates
from via_state.live.visitors.tokens import NodeToken, open_token
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


@contextmanager
def blank() -> Iterator[None]:
    """Nothing is declared and nothing shown; ``/`` shows `page`."""
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
