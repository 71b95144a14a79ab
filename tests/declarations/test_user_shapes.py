"""Sync and async verbs mean the same user, in every shape in which the ecosystem of Django hands one over.

Each source below belongs to ann, while its session, where it has one, is ben's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import UserLazyObject
from django.contrib.auth import login
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from tests.declarations.site import Visit
from via_state.exceptions import UserRequired

pytestmark = pytest.mark.django_db(transaction=True)

Source = Callable[[], Any]


def of_ann() -> Any:
    """As a middleware for JSON web tokens assigns it."""
    return SimpleLazyObject(lambda: User.objects.get(username="ann"))


def used(lazy: Any) -> Any:
    assert lazy.is_authenticated
    return lazy


def request() -> HttpRequest:
    """A request in which ben is signed in, by the session."""
    made = RequestFactory().get("/")
    made.session = SessionStore()
    login(made, User.objects.get(username="ben"), "django.contrib.auth.backends.ModelBackend")
    AuthenticationMiddleware(lambda _: HttpResponse()).process_request(made)
    return made


def request_with(user: Any) -> HttpRequest:
    made = request()
    made.user = user
    return made


class Token(BaseAuthentication):
    """Asks the database, as Django REST framework's own one does."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        return User.objects.get(username="ann"), None


class Nobody(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[None, None]:
        return None, None


def wrapped_with(user: Any) -> Request:
    made = Request(request())
    made.user = user
    return made


def resolved_by_channels() -> UserLazyObject:
    lazy = UserLazyObject()
    lazy._wrapped = User.objects.get(username="ann")
    return lazy


def only_async() -> HttpRequest:
    async def auser() -> User:
        return await User.objects.aget(username="ann")

    made = RequestFactory().get("/")
    made.auser = auser
    return made


ANN: dict[str, Source] = {
    "assigned": lambda: request_with(User.objects.get(username="ann")),
    "lazy": lambda: request_with(of_ann()),
    "lazy and used": lambda: request_with(used(of_ann())),
    "lazy in lazy": lambda: request_with(SimpleLazyObject(of_ann)),
    "asynchronous only": only_async,
    "wrapped": lambda: Request(request(), authenticators=[Token()]),
    "wrapped, assigned": lambda: wrapped_with(User.objects.get(username="ann")),
    "wrapped, lazy": lambda: wrapped_with(of_ann()),
    "scope": lambda: {"user": User.objects.get(username="ann")},
    "scope of Channels": lambda: {"user": resolved_by_channels()},
    "scope, lazy": lambda: {"user": of_ann()},
    "bare": lambda: User.objects.get(username="ann"),
    "bare, lazy": of_ann,
    "bare, lazy and used": lambda: used(of_ann()),
    "bare, of Channels": resolved_by_channels,
}
NOBODY: dict[str, Source] = {
    "assigned": lambda: request_with(AnonymousUser()),
    "lazy": lambda: request_with(SimpleLazyObject(AnonymousUser)),
    "None": lambda: request_with(None),
    "lazy None": lambda: request_with(SimpleLazyObject(lambda: None)),
    "wrapped": lambda: Request(request(), authenticators=[]),
    "wrapped None": lambda: Request(request(), authenticators=[Nobody()]),
    "scope": lambda: {"user": AnonymousUser()},
    "scope None": lambda: {"user": None},
    "bare": AnonymousUser,
    "unsaved": lambda: User(username="new"),
}


@pytest.fixture(autouse=True)
def people() -> None:
    for name in ("ann", "ben"):
        User.objects.create_user(name, password="secret")


def theme_of(name: str) -> str:
    return Visit(User.objects.get(username=name)).theme.read()


@pytest.mark.parametrize("make", ANN.values(), ids=ANN)
async def test_both_twins_mean_the_user_that_was_assigned(make: Source) -> None:
    """Each verb gets a source of its own: the one before has not made it easier."""

    async def synchronously(act: Callable[[Any], object]) -> object:
        return await sync_to_async(lambda: act(Visit(make()).theme))()

    async def asynchronous() -> Any:
        return Visit(await sync_to_async(make)()).theme

    assert await (await asynchronous()).aset("dark") == "dark"
    assert await synchronously(lambda theme: theme.read()) == "dark"
    await synchronously(lambda theme: theme.update(str.upper))
    assert await (await asynchronous()).aread() == "DARK"
    assert [await sync_to_async(theme_of)(name) for name in ("ann", "ben")] == ["DARK", "auto"]
    await (await asynchronous()).areset()
    assert await synchronously(lambda theme: theme.read()) == "auto"


@pytest.mark.parametrize("make", NOBODY.values(), ids=NOBODY)
async def test_both_twins_know_that_nobody_is_signed_in(make: Source) -> None:
    source = await sync_to_async(make)()
    for read in (Visit(source).theme.aread, sync_to_async(lambda: Visit(make()).theme.read())):
        assert await read() == "auto"
    await Visit(await sync_to_async(make)()).theme.areset()
    for write in (
        lambda: Visit(source).theme.aset("dark"),
        lambda: sync_to_async(lambda: Visit(make()).theme.set("dark"))(),
    ):
        with pytest.raises(UserRequired, match="anonymous visitor"):
            await write()
    assert [await sync_to_async(theme_of)(name) for name in ("ann", "ben")] == ["auto", "auto"]


class TokenMiddleware:
    """Replaces the user as most middlewares for tokens do."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        request.user = of_ann()
        return self.get_response(request)


@pytest.mark.parametrize("prefix", ["", "a"], ids=["sync views", "async views"])
async def test_a_token_counts_and_not_the_session_beside_it(settings: Any, prefix: str) -> None:
    settings.ROOT_URLCONF = "tests.declarations.site"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "tests.declarations.test_user_shapes.TokenMiddleware",
    ]
    clients: list[Any] = [AsyncClient(), Client()]
    for client in clients:
        await client.aforce_login(await User.objects.aget(username="ben"))
    await clients[0].get(f"/{prefix}theme/dark")
    assert (await clients[0].get("/read")).json()[2] == "dark"
    assert (await clients[0].get("/aread")).json()[2] == "dark"
    assert (await sync_to_async(clients[1].get)("/read")).json()[2] == "dark"
    assert await sync_to_async(theme_of)("ben") == "auto"
