"""Whoever has the cookie that a session had before a login, a logout or a new password reads and writes none of its state.

Of the engines that store sessions; those that leave them to the browser are refused.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieSession
from django.test import AsyncClient, Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from tests.declarations.site import Visit, declared
from via_state.declarations.registry import registry
from via_state.exceptions import SessionEnded, SessionRequired

pytestmark = pytest.mark.django_db(transaction=True)

both_ways = pytest.mark.parametrize("prefix", ["", "a"], ids=["sync", "async"])


@pytest.fixture(autouse=True, params=["db", "cached_db", "cache", "file"])
def engine(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    registry.add(Visit, declared)
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    settings.ROOT_URLCONF = "tests.declarations.site"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "via_state.middleware.SessionStateMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    User.objects.create_user("ann", password="secret")


class Visitor:
    """A browser whose views are sync or async ones."""

    def __init__(self, prefix: str, cookie: str | None = None) -> None:
        self.prefix = prefix
        self.client: Any = AsyncClient() if prefix else Client()
        if cookie is not None:
            self.client.cookies[settings.SESSION_COOKIE_NAME] = cookie

    def get(self, view: str) -> Any:
        path = f"/{self.prefix}{view}"
        return async_to_sync(self.client.get)(path) if self.prefix else self.client.get(path)

    @property
    def cookie(self) -> str:
        value: str = self.client.cookies[settings.SESSION_COOKIE_NAME].value
        return value

    def state(self) -> list[str]:
        found: list[str] = self.get("read").json()[:2]
        return found


def assert_opens_nothing(cookie: str, victim: Visitor, state: list[str]) -> None:
    """For reading, for writing and for resetting, sync and async."""
    for prefix in ("", "a"):
        assert Visitor(prefix, cookie).state() == ["", ""]
        Visitor(prefix, cookie).get("write/mallory")
        stolen = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
        Visit(stolen).name.reset()
        Visit(stolen).draft.at(form=1).reset(force=True)
        assert victim.state() == state


@both_ways
def test_a_key_that_was_stolen_before_the_login_opens_nothing(prefix: str) -> None:
    victim = Visitor(prefix)
    victim.get("write/cart")
    stolen = victim.cookie
    victim.get("login/ann")
    assert victim.cookie != stolen
    assert_opens_nothing(stolen, victim, ["cart", "cart"])


@both_ways
def test_a_key_that_was_stolen_before_the_logout_opens_nothing(prefix: str) -> None:
    victim = Visitor(prefix)
    victim.get("login/ann")
    victim.get("write/cart")
    stolen = victim.cookie
    victim.get("logout")
    victim.get("write/new")
    assert_opens_nothing(stolen, victim, ["new", "new"])


@both_ways
def test_a_key_that_was_stolen_before_a_new_password_opens_nothing(prefix: str) -> None:
    victim = Visitor(prefix)
    victim.get("login/ann")
    victim.get("write/cart")
    stolen = victim.cookie
    victim.get("password")
    assert victim.cookie != stolen
    assert_opens_nothing(stolen, victim, ["cart", "cart"])


@both_ways
def test_a_new_password_ends_the_state_of_the_other_sessions(prefix: str) -> None:
    other, victim = Visitor(prefix), Visitor(prefix)
    other.get("login/ann")
    other.get("write/cart")
    late = import_module(settings.SESSION_ENGINE).SessionStore(other.cookie)
    assert Visit(late).name.read() == "cart"
    stolen = other.cookie
    victim.get("login/ann")
    victim.get("password")
    assert Visitor("", stolen).get("who").content == b""
    assert Visit(late).name.read() == ""
    with pytest.raises(SessionEnded):
        Visit(late).name.set("late")
    assert Visitor(prefix, stolen).state() == ["", ""]


@pytest.mark.parametrize("engine", ["signed_cookies"], indirect=True)
def test_state_of_a_session_in_a_signed_cookie_is_refused(rf: RequestFactory) -> None:
    class Own(CookieSession):
        """Of a project."""

    def refused(source: Any) -> None:
        name = Visit(source).name
        calls: list[tuple[Any, ...]] = [(name.read,), (name.set, "x"), (name.update, str.upper), (name.reset,)]
        awaited: list[tuple[Any, ...]] = [
            (name.aread,),
            (name.aset, "x"),
            (name.aupdate, str.upper),
            (name.areset,),
        ]
        for verb, *arguments in [*calls, *((async_to_sync(verb), *rest) for verb, *rest in awaited)]:
            with pytest.raises(SessionRequired, match=r"tests\.Visit\.name: .*signed cookies .* SESSION_ENGINE"):
                verb(*arguments)

    sessions: list[SessionBase] = [CookieSession(), Own()]
    for session in sessions:
        request = rf.get("/")
        request.session = session
        refused(request)
        refused(session)
        refused({"session": session})
        refused({"session": SimpleLazyObject(partial(lambda one: one, session))})
        assert not session.modified


@pytest.mark.parametrize("engine", ["signed_cookies"], indirect=True)
def test_sessions_in_signed_cookies_log_out_as_ever(settings: Any) -> None:
    """A project that declares no session state may keep them."""
    visitor = Visitor("")
    visitor.get("login/ann")
    assert visitor.get("who").content == b"ann"
    visitor.get("logout")
    assert visitor.get("who").content == b""
