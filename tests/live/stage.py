"""A site with live pages, for tests of what their tabs see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.test import override_settings
from django.urls import include, path

from via_state import State, StateApp, StateAppEvents, StateSess, StateUser
from via_state.live import Visitor, fragment

#: Numbers whose fold raises.
unfoldable: set[int] = set()


@dataclass(frozen=True, slots=True)
class Add:
    number: int = 1

    def fold(self, total: int) -> int:
        if self.number in unfoldable:
            raise ValueError("this number can't be folded")
        return total + self.number


@dataclass(frozen=True, slots=True)
class Say:
    text: str

    def fold(self, lines: list[str]) -> list[str]:
        return [*lines, self.text]


class Stage(State):
    total = StateAppEvents(Add, key="tests.stage.total")
    room = StateAppEvents(Say, key="tests.stage.room.{room}")
    banner = StateApp(str, default="welcome", key="tests.stage.banner")
    mine = StateSess(str, default="nothing", key="tests.stage.mine")
    unread = StateUser(int, key="tests.stage.unread")
    closed = StateApp(bool, key="tests.stage.closed.{room}")


#: What fragments raise, while it is set; how often each was rendered; what is no state.
raising: list[Exception] = []
renders: dict[str, int] = {}
stock = {"left": 7}


def count(name: str) -> None:
    renders[name] = renders.get(name, 0) + 1
    if raising:
        raise raising[0]


@fragment("stage/room.html")
def room(visitor: Visitor, room: int) -> dict[str, Any]:
    count("room")
    if Stage.closed.at(room=room).read():
        raise PermissionDenied
    if room == 404:
        raise Http404
    return {"lines": Stage.room.at(room=room).read(), "name": visitor.user.get_username()}


@fragment("stage/table.html", shared=True)
def table() -> dict[str, Any]:
    count("table")
    return {"total": Stage.total.read(), "banner": Stage.banner.read()}


@fragment("stage/stock.html", shared=True)
def shelf(product: int) -> dict[str, Any]:
    count("stock")
    return {"left": stock["left"]}


def may_see(user: Any) -> bool:
    return bool(user.is_staff)


@fragment("stage/staff.html", shared=True, allow=may_see)
def staff() -> dict[str, Any]:
    count("staff")
    return {"total": Stage.total.read()}


PAGE = (
    "{% load via_state %}<!doctype html><head>{% via_scripts %}</head><body>{% block body %}{% endblock %}</body>"
)
TEMPLATES = {
    "page.html": PAGE,
    "counter.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<p id="total">{% via_text "tests.Stage.total" %}</p>'
    '<progress id="bar" max="9" {% via_attr "tests.Stage.total" to="value" %}></progress>'
    '<form method="post">{% csrf_token %}<input name="number" value="1"></form>{% endblock %}',
    "own.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<p id="mine">{% via_text "tests.Stage.mine" %}</p><p id="unread">{% via_text "tests.Stage.unread" %}</p>{% endblock %}',
    "room_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="room">{% via_live "stage/room.html" room=room %}</section>{% endblock %}',
    "table_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="table">{% via_live "stage/table.html" shared %}</section>{% endblock %}',
    "stock_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="stock">{% via_live "stage/stock.html" product=7 %}</section>{% endblock %}',
    "staff_page.html": '{% extends "page.html" %}{% load via_state %}{% block body %}'
    '<section id="staff">{% via_live "stage/staff.html" %}</section>{% endblock %}',
    "stage/room.html": "{% load via_state %}<ol>{% via_for line in lines %}<li>{{ line }}</li>{% endvia_for %}</ol> <b>{{ name }}</b>",
    "stage/table.html": '{% load via_state %}<h2>{{ banner }}</h2><p class="sum">{{ total }}</p>'
    '<p class="inner">{% via_text "tests.Stage.total" %}</p>',
    "stage/stock.html": '<p class="left">{{ left }}</p>',
    "stage/staff.html": '<p class="secret">{{ total }}</p>',
}


def counter(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Stage.total.append(Add(int(request.POST["number"])))
        return redirect(request.path)
    return render(request, "counter.html")


def own(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Stage(request).mine.set(request.POST["text"])
        return redirect(request.path)
    return render(request, "own.html")


def page(request: HttpRequest, name: str, room: int = 0) -> HttpResponse:
    return render(request, f"{name}_page.html", {"room": room})


urlpatterns = [
    path("", include("via_state.live.urls")),
    path("counter/", counter),
    path("own/", own),
    path("<str:name>/", page),
    path("<str:name>/<int:room>/", page),
]

#: The settings of the site.
staged = override_settings(
    ROOT_URLCONF="tests.live.stage",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                ],
                "loaders": [
                    (
                        "django.template.loaders.cached.Loader",
                        [("django.template.loaders.locmem.Loader", TEMPLATES)],
                    )
                ],
            },
        }
    ],
)
