"""A logout succeeds whatever becomes of the state: a layer that fails, is away or says nothing prevents none, nor makes it wait long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client

from tests.declarations.site import Visit, declared
from tests.faults import FaultyBackplane
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.declarations import session_end
from via_state.declarations.registry import registry
from via_state.exceptions import SessionEnded
from via_state.metrics import process
from via_state.middleware import SessionStateMiddleware
from via_state.pod import default
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

pytestmark = pytest.mark.django_db(transaction=True)


class Broken(FaultyBackplane):
    """Raises what no adapter should."""

    async def _do(self, verb: str, *args: Any) -> Any:
        if self.down:
            raise RuntimeError("a bug of the adapter")
        return await super()._do(verb, *args)


class Silent(FaultyBackplane):
    """Takes a call and never answers, until it is told to."""

    def __init__(self, inner: Backplane) -> None:
        super().__init__(inner)
        self.answers: asyncio.Event = asyncio.Event()

    async def _do(self, verb: str, *args: Any) -> Any:
        if self.down:
            await self.answers.wait()
            self.down = False
        return await super()._do(verb, *args)


KINDS: list[type[FaultyBackplane]] = [FaultyBackplane, Broken, Silent]


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add(Visit, declared)
    settings.ROOT_URLCONF = "tests.declarations.site"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "via_state.middleware.SessionStateMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    monkeypatch.setattr(session_end, "WAIT", 0.05)
    User.objects.create_user("ann", password="secret")


@pytest.fixture(params=KINDS, ids=["away", "broken", "silent"])
def backplane(request: pytest.FixtureRequest) -> Iterator[FaultyBackplane]:
    made: FaultyBackplane = request.param(MemoryBackplane({}))
    pod = Pod(made)
    with use_pod(pod):
        yield made
    made.down = False
    pod.close()


def failures() -> float:
    return float(process.session_end_failed._value.get())


def signed_in_with_state() -> tuple[Client, SessionStore]:
    """A browser, and its session as a request that is still running has loaded it."""
    client = Client()
    client.get("/login/ann")
    client.get("/write/ann")
    late = SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value)
    assert late["_auth_user_id"]
    return client, late


@pytest.mark.parametrize("view", ["/logout", "/flush"])
def test_a_state_layer_that_fails_prevents_no_logout(backplane: FaultyBackplane, view: str) -> None:
    client, late = signed_in_with_state()
    before = failures()
    backplane.down = True
    assert client.get(view).status_code == 200
    assert "_auth_user_id" not in client.session
    assert not SessionStore().exists(str(late.session_key))
    assert failures() == before + 1


@pytest.mark.parametrize("view", ["/alogout", "/aflush"])
async def test_nor_one_in_an_event_loop(backplane: FaultyBackplane, view: str) -> None:
    client = AsyncClient()
    await client.get("/alogin/ann")
    await client.get("/awrite/ann")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    before = failures()
    backplane.down = True
    assert (await client.get(view)).status_code == 200
    assert not await SessionStore().aexists(key)
    assert failures() == before + 1


@pytest.mark.parametrize("backplane", [FaultyBackplane, Silent], indirect=True, ids=["away", "silent"])
def test_what_could_not_be_ended_at_once_is_ended_when_the_layer_answers(backplane: FaultyBackplane) -> None:
    client, late = signed_in_with_state()
    backplane.down = True
    client.get("/logout")
    (ending,) = session_end.pending(default.current_pod())
    if isinstance(backplane, Silent):
        default.current_pod().thread.soon(backplane.answers.set)
    else:
        backplane.down = False
    ending.result(60)
    assert Visit(late).name.read() == ""
    for cell in (Visit(late).name, Visit(late).draft.at(form=1)):
        with pytest.raises(SessionEnded):
            cell.set("late")


def test_a_backend_that_can_not_be_imported_prevents_no_logout(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, late = signed_in_with_state()
    monkeypatch.setattr(default, "_current", None)
    monkeypatch.setattr("via_state.conf.Settings._configured", lambda _: {"BACKEND": "nowhere.Nothing"})
    with caplog.at_level(logging.ERROR, "via_state.sessions"):
        assert client.get("/logout").status_code == 200
    assert not SessionStore().exists(str(late.session_key))
    (record,) = [one for one in caplog.records if one.name == "via_state.sessions"]
    assert "No module named 'nowhere'" in str(record.exc_text)


def test_a_state_layer_that_fails_prevents_no_login_as_somebody_else(backplane: FaultyBackplane) -> None:
    User.objects.create_user("ben", password="secret")
    client, late = signed_in_with_state()
    backplane.down = True
    assert client.get("/login/ben").status_code == 200
    assert client.session["_auth_user_id"] == str(User.objects.get(username="ben").pk)
    assert not SessionStore().exists(str(late.session_key))


def test_a_session_that_can_not_be_read_is_flushed_all_the_same(rf: Any) -> None:
    class Unreadable(SessionStore):
        flushed = False

        def get(self, key: str, default: Any = None) -> Any:
            raise OSError("the cache is away")

        def flush(self) -> None:
            self.flushed = True

    request = rf.get("/")
    request.session = Unreadable()

    def view(request: HttpRequest) -> HttpResponse:
        request.session.flush()
        return HttpResponse()

    SessionStateMiddleware(view)(request)
    assert request.session.flushed


@pytest.mark.parametrize("backplane", [FaultyBackplane, Silent], indirect=True, ids=["away", "silent"])
def test_at_most_so_many_sessions_are_being_ended_at_once(
    backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_end, "MOST", 2)
    backplane.down = True
    for number in range(4):
        session_end.end_session_state(f"{number:016}")
    assert len(session_end.pending(default.current_pod())) == 2
