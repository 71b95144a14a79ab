"""A site of a few views that use session and user state, sync and async."""

from __future__ import annotations

from django.contrib.auth import (
    aauthenticate,
    alogin,
    alogout,
    aupdate_session_auth_hash,
    authenticate,
    login,
    logout,
    update_session_auth_hash,
)
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from via_state import State, StateSess, StateUser
from via_state.declarations.registry import registry


class Visit(State):
    name = StateSess(str, key="visit.name")
    draft = StateSess(str, key="visit.draft.{form}")
    theme = StateUser(str, default="auto", key="visit.theme")


declared = list(registry.definitions())[-3:]


def read(request: HttpRequest) -> JsonResponse:
    visit = Visit(request)
    return JsonResponse([visit.name.read(), visit.draft.at(form=1).read(), visit.theme.read()], safe=False)


async def aread(request: HttpRequest) -> JsonResponse:
    visit = Visit(request)
    values = [await visit.name.aread(), await visit.draft.at(form=1).aread(), await visit.theme.aread()]
    return JsonResponse(values, safe=False)


def write(request: HttpRequest, text: str) -> HttpResponse:
    Visit(request).name.set(text)
    Visit(request).draft.at(form=1).update(lambda old: old + text)
    return HttpResponse()


async def awrite(request: HttpRequest, text: str) -> HttpResponse:
    await Visit(request).name.aset(text)
    await Visit(request).draft.at(form=1).aupdate(lambda old: old + text)
    return HttpResponse()


def fail(request: HttpRequest, text: str) -> HttpResponse:
    Visit(request).name.set(text)
    raise RuntimeError("after the write")


def theme(request: HttpRequest, text: str) -> HttpResponse:
    return HttpResponse(Visit(request).theme.set(text))


async def atheme(request: HttpRequest, text: str) -> HttpResponse:
    return HttpResponse(await Visit(request).theme.aset(text))


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    login(request, authenticate(request, username=name, password="secret"))
    return HttpResponse()


async def alog_in(request: HttpRequest, name: str) -> HttpResponse:
    await Visit(request).theme.aread()  # the request remembers its anonymous visitor
    await alogin(request, await aauthenticate(request, username=name, password="secret"))
    return HttpResponse(await Visit(request).theme.aset(name))


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


async def alog_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


def new_password(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(username=request.user.get_username())
    user.set_password("other")
    user.save()
    update_session_auth_hash(request, user)
    return HttpResponse()


async def anew_password(request: HttpRequest) -> HttpResponse:
    user = await User.objects.aget(username=(await request.auser()).get_username())
    request.user = user  # Django's function compares with it, and would query here
    user.set_password("other")
    await user.asave()
    await aupdate_session_auth_hash(request, user)
    return HttpResponse()


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def flush(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


async def aflush(request: HttpRequest) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse()


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("read", read),
    path("aread", aread),
    path("write/<text>", write),
    path("awrite/<text>", awrite),
    path("fail/<text>", fail),
    path("theme/<text>", theme),
    path("atheme/<text>", atheme),
    path("login/<name>", log_in),
    path("alogin/<name>", alog_in),
    path("logout", log_out),
    path("alogout", alog_out),
    path("password", new_password),
    path("apassword", anew_password),
    path("who", who),
    path("flush", flush),
    path("aflush", aflush),
    path("nothing", nothing),
]
