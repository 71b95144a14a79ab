"""Session state, through requests: it lives and dies with the Django session, whatever keeps that."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from channels.sessions import CookieMiddleware, SessionMiddleware
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone

from tests.declarations.site import Visit, declared
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.cells import Holds, holds_of
from via_state.core.records import Revision
from via_state.declarations import session_end
from via_state.declarations.registry import registry
from via_state.exceptions import SessionEnded, SessionRequired
from via_state.pod import members
from via_state.testing import pods

STORED = ["db", "cached_db", "cache", "file"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True, params=STORED)
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


@pytest.fixture(params=["with the middleware", "without it"])
def without_middleware(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param == "without it":
        settings.MIDDLEWARE = settings.MIDDLEWARE[::2]


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann", password="secret")


@pytest.fixture
def client() -> Client:
    return Client()


def new_session(key: str | None = None) -> SessionBase:
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return session


def cookie(client: Client | AsyncClient) -> str:
    value: str = client.cookies[settings.SESSION_COOKIE_NAME].value
    return value


def with_cookie(value: str) -> Client:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = value
    return client


def test_state_belongs_to_one_session(client: Client) -> None:
    client.get("/write/ann")
    client.get("/write/ben")
    assert client.get("/read").json() == ["ben", "annben", "auto"]
    assert Client().get("/read").json() == ["", "", "auto"]


async def test_state_belongs_to_one_session_in_an_event_loop(async_client: AsyncClient) -> None:
    await async_client.get("/awrite/ann")
    await async_client.get("/awrite/ben")
    assert (await async_client.get("/aread")).json() == ["ben", "annben", "auto"]
    assert (await AsyncClient().get("/aread")).json() == ["", "", "auto"]


async def test_sync_and_async_views_share_the_state(async_client: AsyncClient) -> None:
    await async_client.get("/write/ann")
    assert (await async_client.get("/aread")).json() == ["ann", "ann", "auto"]
    await async_client.get("/awrite/ben")
    assert (await async_client.get("/read")).json() == ["ben", "annben", "auto"]


def test_reading_creates_no_session_and_no_cookie(client: Client) -> None:
    assert client.get("/read").json() == ["", "", "auto"]
    assert settings.SESSION_COOKIE_NAME not in client.cookies


def test_reading_does_not_save_a_session(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.session = new_session()
    assert Visit(request).name.read() == ""
    Visit(request).name.reset()
    assert not request.session.modified
    assert request.session.is_empty()


def test_a_page_that_uses_no_session_does_not_vary_by_cookie(client: Client) -> None:
    client.get("/write/ann")
    assert "Cookie" not in client.get("/nothing").headers.get("Vary", "")


def test_no_credential_of_the_session_is_in_a_key(client: Client, rf: RequestFactory) -> None:
    client.get("/write/ann")
    key = cookie(client)
    session = new_session(key)
    sid = session["_via_sid"]
    assert sid not in key
    assert key not in sid
    assert Visit(session).name.key == "visit.name"


@pytest.mark.usefixtures("without_middleware")
def test_a_login_rotates_the_key_and_keeps_the_state(client: Client, user: User) -> None:
    client.get("/write/ann")
    before = cookie(client)
    client.get("/login/ann")
    assert cookie(client) != before
    assert client.get("/read").json() == ["ann", "ann", "auto"]
    client.get("/write/ben")
    assert client.get("/read").json() == ["ben", "annben", "auto"]


@pytest.mark.usefixtures("without_middleware")
def test_a_logout_ends_the_state_and_an_old_cookie_revives_nothing(client: Client, user: User) -> None:
    client.get("/login/ann")
    client.get("/write/ann")
    old = cookie(client)
    client.get("/logout")
    assert client.get("/read").json() == ["", "", "auto"]
    assert with_cookie(old).get("/read").json()[:2] == ["", ""]
    client.get("/write/ben")
    assert client.get("/read").json() == ["ben", "ben", "auto"]


@pytest.mark.usefixtures("without_middleware")
async def test_a_logout_in_an_event_loop_ends_the_state(async_client: AsyncClient, user: User) -> None:
    await async_client.get("/alogin/ann")
    await async_client.get("/awrite/ann")
    old = cookie(async_client)
    await async_client.get("/alogout")
    assert (await async_client.get("/aread")).json() == ["", "", "auto"]
    stale = AsyncClient()
    stale.cookies[settings.SESSION_COOKIE_NAME] = old
    assert (await stale.get("/aread")).json()[:2] == ["", ""]


@pytest.mark.parametrize("view", ["/flush", "/aflush"])
async def test_a_flush_ends_the_state(async_client: AsyncClient, view: str) -> None:
    await async_client.get("/write/ann")
    old = cookie(async_client)
    await async_client.get(view)
    assert (await async_client.get("/read")).json() == ["", "", "auto"]
    stale = AsyncClient()
    stale.cookies[settings.SESSION_COOKIE_NAME] = old
    assert (await stale.get("/read")).json() == ["", "", "auto"]


def test_a_flush_under_wsgi_ends_the_state(client: Client) -> None:
    client.get("/write/ann")
    old = cookie(client)
    client.get("/flush")
    assert client.get("/read").json() == ["", "", "auto"]
    assert with_cookie(old).get("/read").json() == ["", "", "auto"]


def test_a_login_as_somebody_else_ends_the_state(client: Client, user: User) -> None:
    User.objects.create_user("ben", password="secret")
    client.get("/login/ann")
    client.get("/write/ann")
    old = cookie(client)
    client.get("/login/ben")
    assert client.get("/read").json() == ["", "", "auto"]
    assert with_cookie(old).get("/read").json()[:2] == ["", ""]


def test_a_request_that_outlives_its_session_can_write_nothing(client: Client, rf: RequestFactory) -> None:
    client.get("/write/ann")
    late = rf.get("/")
    late.session = new_session(cookie(client))
    assert Visit(late).name.read() == "ann"
    client.get("/flush")
    assert Visit(late).name.read() == ""
    for write in (Visit(late).name, Visit(late).draft.at(form=1), Visit(late).draft.at(form=2)):
        with pytest.raises(SessionEnded):
            write.set("late")
    assert Visit(late).draft.at(form=2).read() == ""


def test_a_reset_removes_no_tombstone(client: Client, rf: RequestFactory) -> None:
    client.get("/write/ann")
    late = rf.get("/")
    late.session = new_session(cookie(client))
    assert Visit(late).name.read() == "ann"
    client.get("/flush")
    for cell in (Visit(late).name, Visit(late).draft.at(form=1)):
        cell.reset()
        cell.reset(force=True)
        async_to_sync(cell.areset)(force=True)
        with pytest.raises(SessionEnded):
            cell.set("late")


def test_a_write_survives_a_response_that_fails(client: Client) -> None:
    client.raise_request_exception = False
    session = client.session
    session["known"] = True
    session.save()
    assert client.get("/fail/ann").status_code == 500
    assert client.get("/read").json()[0] == "ann"


def test_first_writes_in_parallel_find_one_another(rf: RequestFactory) -> None:
    stored = new_session()
    stored["known"] = True
    stored.save()
    requests = [rf.get("/"), rf.get("/")]
    for request in requests:
        request.session = new_session(stored.session_key)
        assert Visit(request).name.read() == ""
    for request in requests:
        Visit(request).draft.at(form=1).update(lambda old: old + "x")
    for request in requests:
        request.session.save()
    assert Visit(new_session(stored.session_key)).draft.at(form=1).read() == "xx"


async def test_first_writes_in_an_event_loop_find_one_another(rf: RequestFactory) -> None:
    stored = new_session()
    await stored.aset("known", True)
    await stored.asave()
    requests = [rf.get("/"), rf.get("/")]
    for request in requests:
        request.session = new_session(stored.session_key)
        assert await Visit(request).name.aread() == ""
    for request in requests:
        await Visit(request).name.aupdate(lambda old: old + "x")
    for request in requests:
        await request.session.asave()
    assert await Visit(new_session(stored.session_key)).name.aread() == "xx"


@pytest.mark.parametrize("engine", ["db"], indirect=True)
def test_a_session_that_just_expired_is_not_stored_again() -> None:
    session = new_session()
    session["known"] = True
    session.save()
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    Visit(session).name.set("ann")
    assert Session.objects.count() == 1


class Recording(MemoryBackplane):
    """Notes how long each cell is to live, and what is written to homes."""

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        ttls.append(ttl)
        if "." not in key.removeprefix("via.sess."):
            sizes.append(len(data))
        return await super().cas(key, expected, data, ttl)


ttls: list[float | None] = []
sizes: list[int] = []


def test_state_lives_as_long_as_a_cookie_of_its_session(settings: Any) -> None:
    settings.SESSION_COOKIE_AGE = 1000
    ttls.clear()
    with pods(1, Recording({})) as (pod,):
        for expiry, ttl in [(10, 1000), (5000, 5000)]:
            session = new_session()
            session.set_expiry(expiry)
            Visit(session).name.using(pod).set("ann")
            async_to_sync(Visit(session).name.using(pod).aset)("ben")
            assert ttls[-2:] == [ttl, ttl]


@pytest.mark.parametrize("engine", ["db"], indirect=True)
def test_what_a_new_member_of_a_session_writes_down_is_bounded() -> None:
    sizes.clear()
    with pods(1, Recording({})) as (pod,):
        session, other = new_session(), new_session()
        Visit(other).draft.using(pod).at(form=1).set("other")
        sizes.clear()
        for form in range(5 * members.MOST):
            Visit(session).draft.using(pod).at(form=form).set("x")
        assert len(sizes) <= members.MOST + 1
        assert max(sizes) < 10_000
        Visit(session).draft.using(pod).at(form=3).set("y")
        (sid,) = {key.split(".")[2] for key in pod.thread.call(pod.backplane.cells()) if key.endswith(".3")}
        pod.thread.call(session_end._end(pod, sid, {one.template().text: one for one in declared[:2]}))
        left = [
            key
            for key, cell in pod.thread.call(pod.backplane.cells()).items()
            if holds_of(cell.data) is Holds.VALUE
        ]
        assert [key.rpartition(".")[2] for key in left if "draft" in key] == ["1"], "the other session's"


async def scope_of(cookies: str = "") -> dict[str, Any]:
    """The scope of a WebSocket, as Channels' middleware prepares it."""
    found: dict[str, Any] = {}

    async def application(scope: dict[str, Any], receive: object, send: object) -> None:
        found.update(scope)

    scope = {"type": "websocket", "headers": [(b"cookie", cookies.encode())] if cookies else []}
    await CookieMiddleware(SessionMiddleware(application))(scope, None, None)
    return found


async def test_a_websocket_reads_and_writes_the_state_of_its_session(async_client: AsyncClient) -> None:
    await async_client.get("/awrite/ann")
    scope = await scope_of(f"{settings.SESSION_COOKIE_NAME}={cookie(async_client)}")
    assert await Visit(scope).name.aread() == "ann"
    await Visit(scope).name.aset("ben")
    assert await Visit(scope["session"]).name.aread() == "ben"
    assert (await async_client.get("/aread")).json()[0] == "ben"


async def test_a_websocket_never_starts_a_session() -> None:
    scope = await scope_of()
    assert await Visit(scope).name.aread() == ""
    assert [value async for value in Visit(scope).name.changes()] == [""]
    for owner in (scope, scope["session"]):
        with pytest.raises(
            SessionRequired, match=r"tests\.Visit\.name: .* Make the first write from an HTTP request"
        ):
            await Visit(owner).name.aset("ann")
    assert not scope["session"].modified


async def test_a_listener_is_told_that_its_session_ended(async_client: AsyncClient) -> None:
    await async_client.get("/awrite/ann")
    scope = await scope_of(f"{settings.SESSION_COOKIE_NAME}={cookie(async_client)}")
    seen = []
    async with asyncio.timeout(5), aclosing(cast(Any, Visit(scope).name.changes())) as values:
        async for value in values:
            seen.append(value)
            if len(seen) == 2:
                break
            await async_client.get("/aflush")
    assert seen == ["ann", ""]


def test_state_of_a_session_that_somebody_else_saves() -> None:
    session = new_session()
    Visit(session).name.set("ann")
    assert Visit(session).name.read() == "ann"
    session.save()
    assert Visit(new_session(session.session_key)).name.read() == "ann"


def test_a_foreign_value_under_our_name_is_not_taken_for_an_id() -> None:
    session = new_session()
    session["_via_sid"] = "x.y"
    assert Visit(session).name.read() == ""
    Visit(session).name.set("ann")
    assert session["_via_sid"] != "x.y"
