"""What state of sessions and users refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tests.declarations.site import Visit, declared
from via_state.backplanes.memory import MemoryBackplane
from via_state.declarations.registry import registry
from via_state.exceptions import NotBound, SessionRequired, SyncVerbInEventLoop, ValueTooLarge
from via_state.middleware import SessionStateMiddleware
from via_state.testing import pods

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def visits() -> None:
    registry.add(Visit, declared)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann", password="secret")


def test_a_value_that_is_too_large_is_refused_for_sessions_and_users_too() -> None:
    small = MemoryBackplane({})
    small.max_value_bytes = 2000
    with pods(1, small) as (pod,):
        session, user = SessionStore(), User.objects.create_user("ann", password="secret")
        for cell in (Visit(session).name, Visit(session).draft.at(form=1), Visit(user).theme):
            for text in ("x" * 2000, "short"):
                refused = pytest.raises(ValueTooLarge) if text != "short" else nullcontext()
                with refused:
                    cell.using(pod).set(text)
                with refused:
                    async_to_sync(cell.using(pod).aset)(text)
                with refused:
                    cell.using(pod).update(lambda _, text=text: text)  # type: ignore[misc]
            assert cell.using(pod).read() == "short"


def test_a_pod_may_forget_state_of_sessions_and_users_that_are_idle() -> None:
    assert Visit.name.definition.spec().family
    assert Visit.theme.definition.spec().family


def test_unbound_session_state_says_how_to_bind_it(user: User) -> None:
    with pytest.raises(NotBound, match=r"tests\.Visit\.name belongs to a session: .*Visit\(request\)\.name"):
        Visit.name.read()
    with pytest.raises(SessionRequired, match="A user has no session"):
        Visit(user).name.read()


def test_missing_middleware_is_named(rf: RequestFactory) -> None:
    with pytest.raises(SessionRequired, match=r"contrib\.sessions\.middleware\.SessionMiddleware"):
        Visit(rf.get("/")).name.read()
    with pytest.raises(SessionRequired, match="SessionMiddlewareStack"):
        Visit({}).name.read()


@pytest.mark.parametrize("owner", [None, 7, "request", object()])
def test_what_has_no_owner_is_refused(owner: Any) -> None:
    with pytest.raises(NotBound, match="Pass the request, a WebSocket's scope, a session or a user"):
        Visit(owner)


async def test_blocking_verbs_name_their_twin_in_an_event_loop(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: Visit(request).name.read(), "aread"),
        (lambda: Visit(request).name.set("x"), "aset"),
        (lambda: Visit(request).name.update(str.upper), "aupdate"),
        (lambda: Visit(request).name.reset(), "areset"),
    ]
    for call, twin in calls:
        with pytest.raises(SyncVerbInEventLoop, match=rf"await {twin}\("):
            call()


def test_the_middleware_says_where_it_belongs(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    with pytest.raises(
        ImproperlyConfigured, match=r"put 'django\.contrib\.sessions\.middleware\.SessionMiddleware' before"
    ):
        SessionStateMiddleware(view)(rf.get("/"))
