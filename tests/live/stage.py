"""A site with live pages, for tests of what their tabs see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.test import override_settings
from django.urls import include, path

from tests.live import templates
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser
from via_state.live import Visitor, form, fragment

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
#: What was sent to `say`.
kept: list[QueryDict] = []


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


class Amount(forms.Form):
    number = forms.IntegerField()


def counter(request: HttpRequest) -> HttpResponse:
    amount = form(request, Amount)
    if amount.is_valid():
        Stage.total.append(Add(amount.cleaned_data["number"]))
        return redirect(request.path)
    return render(request, "counter.html", {"form": amount})


def own(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Stage(request).mine.set(request.POST["text"])
        return redirect(request.path)
    return render(request, "own.html")


def say(request: HttpRequest) -> HttpResponse:
    error = ""
    if request.method == "POST":
        kept.append(request.POST)
        if len(request.POST["text"]) > 2:
            Stage.room.at(room=7).append(Say(request.POST["text"]))
            return redirect(f"{request.path}?said")
        error = "At least three letters."
    return render(request, "say.html", {"error": error, "text": request.POST.get("text", "-")})


def page(request: HttpRequest, name: str, room: int = 0) -> HttpResponse:
    return render(request, f"{name}_page.html", {"room": room})


urlpatterns = [
    path("", include("via_state.live.urls")),
    path("counter/", counter),
    path("own/", own),
    path("say/", say),
    path("<str:name>/", page),
    path("<str:name>/<int:room>/", page),
]

#: The settings of the site.
staged = override_settings(ROOT_URLCONF="tests.live.stage", TEMPLATES=templates.SETTING)
