"""What is said to tabs arrives in real ones, on every pod: broadcasts, refreshing, the end of a login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User as Account
from django.http import HttpRequest
from django.test import Client

from tests.live import stage
from via_state.conf import DEFAULTS
from via_state.live import ALL, Group, Page, Session, User, Viewing, broadcast_notify, broadcast_signals, refresh
from via_state.live.announcing.announcer import announcer_of
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]


def groups_of(request: HttpRequest) -> set[str]:
    return {"staff"} if request.user.is_authenticated else set()


@pytest.fixture
def ada(client: Client) -> Account:
    account = Account.objects.create_user("ada", password="secret")
    client.force_login(account)
    return account


@pytest.fixture
def tabs(
    client: Client, ada: Account, pod: Pod, peer: Pod, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[LiveTab, LiveTab, LiveTab]]:
    """Ada's on both pods, and a stranger's on the second."""
    monkeypatch.setitem(DEFAULTS, "LIVE_GROUPS", f"{__name__}.groups_of")
    with (
        live_tab(client, "/stock/", pod=pod) as here,
        live_tab(client, "/room/7/", pod=peer) as there,
        live_tab(Client(), "/stock/", pod=peer) as stranger,
    ):
        for tab in (here, there, stranger):
            tab.settled()
        yield here, there, stranger


def test_each_kind_of_audience_is_reached_on_both_pods(
    tabs: tuple[LiveTab, LiveTab, LiveTab], client: Client, ada: Account
) -> None:
    request: Any = HttpRequest()
    request.session = client.session
    said = {
        "all": ALL,
        "stock": Page("/stock/"),
        "Ada": User(ada),
        "her browser": Session(request),
        "staff": Group("staff"),
        "who sees it": Viewing("stage/stock.html", product=7),
        "nobody": Viewing("stage/stock.html", product=8),
        "end": ALL,
    }
    counts = [broadcast_notify(text, to=to) for text, to in said.items()]
    assert counts == [1, 1, 1, 1, 1, 1, 0, 1]
    expected = [
        ["all", "stock", "Ada", "her browser", "staff", "who sees it", "end"],
        ["all", "Ada", "her browser", "staff", "end"],
        ["all", "stock", "who sees it", "end"],
    ]
    for tab, texts in zip(tabs, expected, strict=True):
        tab.until(lambda tab=tab: tab.notices[-1:] == ["end"])  # type: ignore[misc]
        assert tab.notices == texts
    broadcast_signals({"price": 7})
    for tab in tabs:
        tab.until(lambda tab=tab: tab.signals == {"price": "7"})  # type: ignore[misc]


def test_a_block_is_refreshed_on_both_pods(tabs: tuple[LiveTab, LiveTab, LiveTab]) -> None:
    here, _, stranger = tabs
    stage.stock["left"] = 3
    refresh("stage/stock.html", product=8)
    refresh("stage/stock.html", product=7)
    for tab in (here, stranger):
        tab.sees("#stock .left", "3")


@pytest.mark.parametrize("how", ["logout", "password", "deleted"])
def test_a_login_that_ends_on_one_pod_ends_the_tabs_on_the_other(
    tabs: tuple[LiveTab, LiveTab, LiveTab], client: Client, ada: Account, how: str
) -> None:
    if how == "logout":
        client.logout()
    elif how == "password":
        ada.set_password("other")
        ada.save()
    else:
        ada.delete()
    for tab in tabs[:2]:
        tab.until(lambda tab=tab: tab.closed == 4401)  # type: ignore[misc]
        assert tab.byes == ["signed-out"]
    broadcast_notify("who is left")
    tabs[2].until(lambda: tabs[2].notices == ["who is left"])


def test_a_pod_hears_from_its_first_tab_on(client: Client, pod: Pod, peer: Pod) -> None:
    assert not announcer_of(peer)._hearing
    with live_tab(client, "/counter/", pod=peer) as tab:
        tab.settled()
        assert broadcast_notify("x") == 0
        tab.until(lambda: tab.notices == ["x"])
