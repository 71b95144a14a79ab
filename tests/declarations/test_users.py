"""User state: one value per account, wherever it is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import AsyncClient, Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from tests.declarations.site import Visit
from via_state.exceptions import NotBound, SyncVerbInEventLoop, UserRequired

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.declarations.site"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="secret")


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben", password="secret")


def test_a_users_state_is_the_same_in_all_sessions_of_the_user(ann: User, ben: User) -> None:
    here, there, elsewhere = Client(), Client(), Client()
    here.force_login(ann)
    there.force_login(ann)
    elsewhere.force_login(ben)
    here.get("/theme/dark")
    assert there.get("/read").json()[2] == "dark"
    assert elsewhere.get("/read").json()[2] == "auto"


async def test_a_users_state_in_an_event_loop(async_client: AsyncClient, ann: User) -> None:
    await async_client.aforce_login(ann)
    assert (await async_client.get("/aread")).json()[2] == "auto"
    await async_client.get("/atheme/dark")
    assert (await async_client.get("/aread")).json()[2] == "dark"


async def test_a_user_that_logs_in_during_a_request_is_the_owner_from_then_on(
    async_client: AsyncClient, ann: User
) -> None:
    await async_client.get("/alogin/ann")
    assert (await async_client.get("/aread")).json()[2] == "ann"


def test_a_logout_ends_the_session_and_keeps_the_users_state(client: Client, ann: User) -> None:
    client.force_login(ann)
    client.get("/theme/dark")
    client.get("/logout")
    assert client.get("/read").json()[2] == "auto"
    client.force_login(ann)
    assert client.get("/read").json()[2] == "dark"


def test_an_anonymous_visitor_reads_the_zero_value_and_writes_nothing(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    theme = Visit(request).theme
    assert theme.read() == "auto"
    theme.reset()
    writes: list[Callable[[], object]] = [lambda: theme.set("dark"), lambda: theme.update(str.upper)]
    for write in writes:
        with pytest.raises(UserRequired, match=r"tests\.Visit\.theme: an anonymous visitor"):
            write()


def test_state_can_be_bound_to_a_user_a_lazy_user_and_a_scope(ann: User) -> None:
    Visit(ann).theme.set("dark")
    lazy: Any = SimpleLazyObject(lambda: User.objects.get(pk=ann.pk))
    used: Any = SimpleLazyObject(lambda: User.objects.get(pk=ann.pk))
    assert used.username == "ann"
    for owner in (lazy, used, {"user": ann}, {"user": used}):
        assert Visit(owner).theme.read() == "dark"


async def test_a_lazy_user_is_loaded_outside_of_the_event_loop(ann: User, rf: RequestFactory) -> None:
    def load() -> Any:
        return SimpleLazyObject(lambda: User.objects.get(pk=ann.pk))

    await Visit(ann).theme.aset("dark")
    request = rf.get("/")
    request.user = load()
    assert await Visit(load()).theme.aread() == "dark"
    assert await Visit(request).theme.aread() == "dark"


async def test_a_user_that_only_the_async_way_finds_is_the_owner(ann: User, rf: RequestFactory) -> None:
    async def auser() -> User:
        return ann

    request = rf.get("/")
    request.auser = auser
    await Visit(request).theme.aset("dark")
    assert await Visit(ann).theme.aread() == "dark"


def test_a_user_that_was_never_saved_has_no_state() -> None:
    assert Visit(User(username="new")).theme.read() == "auto"
    with pytest.raises(UserRequired):
        Visit(User(username="new")).theme.set("dark")


def test_unbound_user_state_says_how_to_bind_it(rf: RequestFactory) -> None:
    with pytest.raises(NotBound, match=r"tests\.Visit\.theme belongs to a user: .*Visit\(request\)\.theme"):
        Visit.theme.read()
    with pytest.raises(UserRequired, match="A session alone does not say whose it is"):
        Visit(Client().session).theme.read()
    with pytest.raises(UserRequired, match=r"contrib\.auth\.middleware\.AuthenticationMiddleware"):
        Visit(rf.get("/")).theme.read()
    with pytest.raises(UserRequired, match="AuthMiddlewareStack"):
        Visit({}).theme.read()


async def test_blocking_verbs_name_their_twin_in_an_event_loop(ann: User) -> None:
    with pytest.raises(SyncVerbInEventLoop, match="aread"):
        Visit(ann).theme.read()
    with pytest.raises(SyncVerbInEventLoop, match="aset"):
        Visit(ann).theme.set("x")
    with pytest.raises(UserRequired, match="AuthenticationMiddleware"):
        await Visit(RequestFactory().get("/")).theme.aread()
