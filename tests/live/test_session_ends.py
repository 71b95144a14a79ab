"""Who is signed out, or may see something else, is so in the tabs of every process at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group as Team
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import AsyncClient, Client

from testproject.servers.waiting import wait_until
from tests.live.hubs import Hub, hubs
from via_state.exceptions import BackplaneUnavailable, DeclarationError, FragmentUnknown
from via_state.live.announcing import audience
from via_state.live.announcing.refreshing import arefresh, refresh, refresh_on_commit
from via_state.live.rendering.fragments import fragment, fragments
from via_state.live.visitors.tokens import digest
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import use_pod
from via_state.testing import pods

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.declarations.site")]
MIDDLEWARE = "via_state.middleware.SessionStateMiddleware"


@pytest.fixture
def two() -> Iterator[tuple[Hub, Hub]]:
    with pods(2) as made, use_pod(made[0]), hubs(*made) as (here, there):
        yield here, there


@pytest.fixture(params=["with the middleware", "without it"])
def middleware(request: pytest.FixtureRequest, settings: Any) -> bool:
    wanted: bool = request.param == "with the middleware"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if wanted or one != MIDDLEWARE]
    return wanted


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada", password="secret")


def key(client: Client | AsyncClient) -> str:
    return client.cookies["sessionid"].value


def hears(hub: Hub, *calls: tuple[str, object]) -> None:
    wait_until(lambda: len(hub.calls) >= len(calls), f"{calls}")
    assert hub.calls == list(calls)
    hub.calls.clear()


def both(two: tuple[Hub, Hub], *calls: tuple[str, object]) -> None:
    for hub in two:
        hears(hub, *calls)


def test_a_logout_and_a_login_end_the_tabs_of_the_key_before(
    two: tuple[Hub, Hub], middleware: bool, user: User, client: Client
) -> None:
    client.get("/write/x")
    anonymous = key(client)
    client.get("/login/ada")
    both(two, ("end", digest(anonymous)))
    signed_in = key(client)
    client.get("/logout")
    both(two, ("end", digest(signed_in)))
    client.get("/logout")  # a browser without a session: nobody is told
    refreshed(two)


async def test_in_an_event_loop_the_same(two: tuple[Hub, Hub], middleware: bool, user: User) -> None:
    client = AsyncClient()
    await client.get("/awrite/x")
    anonymous = key(client)
    await client.get("/alogin/ada")
    both(two, ("end", digest(anonymous)))
    signed_in = key(client)
    await client.get("/alogout")
    both(two, ("end", digest(signed_in)))


@pytest.mark.parametrize("view", ["flush", "aflush"])
async def test_a_flush_of_the_projects_own_ends_them(two: tuple[Hub, Hub], view: str) -> None:
    client = AsyncClient()
    await client.get("/awrite/x")
    before = key(client)
    await client.get(f"/{view}")
    both(two, ("end", digest(before)))


def other_password(user: User) -> None:
    user.set_password("other")
    user.save()


CHANGES: dict[str, Callable[[User], object]] = {
    "a password": other_password,
    "a password alone": lambda user: user.save(update_fields=["password"]),
    "a user who is no longer active": lambda user: user.save(update_fields=["is_active"]),
    "a group": lambda user: user.groups.add(Team.objects.create(name="sales")),
    "a permission": lambda user: user.user_permissions.set(Permission.objects.all()[:1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_user_has_the_tabs_looked_at(two: tuple[Hub, Hub], user: User, change: str) -> None:
    CHANGES[change](user)
    both(two, ("recheck", audience.User(user.pk)))


def test_a_user_who_is_deleted_has_the_tabs_looked_at(two: tuple[Hub, Hub], user: User) -> None:
    to = audience.User(user.pk)
    user.delete()
    both(two, ("recheck", to))


def test_a_change_that_many_have_has_all_tabs_looked_at(two: tuple[Hub, Hub], user: User) -> None:
    team = Team.objects.create(name="sales")
    team.permissions.set(Permission.objects.all()[:1])
    both(two, ("recheck", None))
    team.user_set.add(user)
    both(two, ("recheck", None))


def test_tabs_are_looked_at_after_the_commit_or_not_at_all(two: tuple[Hub, Hub], user: User) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        user.save()
        _ = 1 / 0
    with transaction.atomic():
        user.save()
        assert two[0].calls == []
    both(two, ("recheck", audience.User(user.pk)))
    user.save(update_fields=["last_login"])
    refreshed(two)


def test_a_logout_succeeds_where_others_can_not_be_told(
    two: tuple[Hub, Hub], user: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/login/ada")

    async def fail(topic: str, data: bytes) -> None:
        raise BackplaneUnavailable("away")

    monkeypatch.setattr(two[0].pod.backplane, "publish", fail)
    signed_in = key(client)
    assert client.get("/logout").status_code == 200
    hears(two[0], ("end", digest(signed_in)))


# Refreshing ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def stock() -> Iterator[None]:
    with fragments.isolated():

        @fragment("shop/_stock.html")
        def stock(visitor: Visitor, product: int) -> dict[str, Any]:
            return {}

        yield


def node(product: int) -> tuple[str, object]:
    return "refresh", (fragments.get("shop/_stock.html").spec({"product": product}).id,)


def refreshed(two: tuple[Hub, Hub]) -> None:
    """Nothing else was said before."""
    refresh("shop/_stock.html", product=1)
    both(two, node(1))


def test_a_block_is_rendered_again_in_every_process(two: tuple[Hub, Hub]) -> None:
    refresh("shop/_stock.html", product=7)
    both(two, node(7))


async def test_a_block_is_rendered_again_from_an_event_loop(two: tuple[Hub, Hub]) -> None:
    await arefresh("shop/_stock.html", product="7")
    both(two, node(7))


def test_a_block_is_rendered_again_after_the_commit_or_not_at_all(two: tuple[Hub, Hub]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        refresh_on_commit("shop/_stock.html", product=7)
        _ = 1 / 0
    with transaction.atomic():
        refresh_on_commit("shop/_stock.html", product=8)
        assert two[0].calls == []
    both(two, node(8))
    refresh_on_commit("shop/_stock.html", product=9)
    both(two, node(9))


def test_what_is_no_fragment_is_refused_at_once(two: tuple[Hub, Hub]) -> None:
    for verb in (refresh, refresh_on_commit):
        with pytest.raises(FragmentUnknown):
            verb("shop/_stack.html")
        with pytest.raises(DeclarationError):
            verb("shop/_stock.html")
