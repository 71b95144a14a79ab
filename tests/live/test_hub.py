"""Every tab shows what the state says, on whichever pod, however it came there; and connecting costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.faults import FaultyBackplane
from tests.live import stage
from tests.live.stage import Add, Say, Stage
from tests.pod.test_revisions import deaf_peer
from via_state import telemetry
from via_state.conf import DEFAULTS
from via_state.live.rendering.fragments import fragments
from via_state.live.serving import consumer
from via_state.live.serving.hubs import hubs_of
from via_state.pod.pod import Pod
from via_state.pod.reading import projector
from via_state.testing.live import LiveTab, live_tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]


@pytest.fixture
def resumed() -> Iterator[list[str]]:
    orders: list[str] = []

    def note(event: telemetry.TabResumed) -> None:
        orders.append(event.order)

    telemetry.TabResumed.subscribe(note)
    yield orders
    telemetry.TabResumed.unsubscribe(note)


def kinds(tab: LiveTab) -> list[str]:
    return [frame.kind for frame in tab.frames]


def not_stale(tab: LiveTab, selector: str) -> bool:
    return all("data-via-stale" not in one.attributes for one in tab.page.find(selector))


def test_a_change_reaches_the_tabs_of_all_pods(client: Client, pod: Pod, peer: Pod) -> None:
    with live_tab(client, "/counter/", pod=pod) as ada, live_tab(Client(), "/counter/", pod=peer) as bob:
        assert ada.text("#total") == "0"
        ada.submit("form", number="3")
        for tab in (ada, bob):
            tab.sees("#total", "3")
            tab.settled()
            assert tab.page.find("#bar")[0].attributes["value"] == "3"


def test_connecting_and_coming_back_render_nothing_and_ask_no_database(
    client: Client, cluster: list[Pod], pod: Pod, resumed: list[str]
) -> None:
    Stage.room.at(room=7).append(Say("hello"))
    client.force_login(User.objects.create_user("ada"))
    with live_tab(client, "/room/7/") as tab:
        tab.settled()
        painted = dict(stage.renders)
        with CaptureQueriesContext(connections["default"]) as queries:
            tab.back().settled()
            assert stage.renders == painted
        assert not queries.captured_queries
        assert set(resumed) == {"same"}
        assert set(kinds(tab)) == {"="}
        assert tab.text("#room") == "hello ada"


def test_what_happened_between_the_render_and_the_connection_is_shown(client: Client, pod: Pod, peer: Pod) -> None:
    tab = LiveTab(client, "/room/7/", pod)
    connect, tab.connect = tab.connect, lambda: None  # type: ignore[method-assign]
    tab.open()
    Stage.room.at(room=7).using(peer).append(Say("meanwhile"))
    connect()
    tab.sees("#room", "meanwhile")
    tab.drop()


def test_of_a_block_only_what_changed_is_sent(client: Client, pod: Pod) -> None:
    room = Stage.room.at(room=7)
    for number in range(50):
        room.append(Say(f"line {number}"))
    with live_tab(client, "/room/7/") as tab:
        room.append(Say("first"))
        tab.until(lambda: "first" in tab.text("#room"))
        room.append(Say("second"))
        tab.until(lambda: "second" in tab.text("#room"))
        whole, delta = (frame for frame in tab.frames if frame.kind in "hd")
        assert (whole.kind, delta.kind) == ("h", "d")
        assert len(str(delta)) < 250 < len(str(whole))


def test_a_tab_that_was_away_gets_one_frame_for_all_that_happened(
    client: Client, pod: Pod, peer: Pod, resumed: list[str]
) -> None:
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        tab.sleep()
        for _ in range(5):
            Stage.total.using(peer).append(Add())
        pod.drain()  # or there is more to tell than what the pod had when the tab came
        tab.frames.clear()
        tab.wake().sees("#total", "5")
        tab.settled()
        assert kinds(tab).count("t") == 2  # the text and the attribute
        assert resumed[-2:] == ["behind", "behind"]


def test_a_tab_may_come_back_on_another_pod(client: Client, pod: Pod, peer: Pod) -> None:
    with live_tab(client, "/room/7/", pod=pod) as tab:
        Stage.room.at(room=7).append(Say("one"))
        tab.until(lambda: "one" in tab.text("#room"))
        tab.on(peer)
        Stage.room.at(room=7).append(Say("two"))
        tab.until(lambda: "two" in tab.text("#room"))


def test_a_process_that_has_nothing_in_memory_yet_renders_nothing_either(
    client: Client, pod: Pod, peer: Pod
) -> None:
    """It loads the state to compare, and what was loaded is no change."""
    with live_tab(client, "/room/7/", pod=pod) as tab:
        Stage.room.at(room=7).append(Say("hi"))
        tab.sees("#room", "hi")
        tab.frames.clear()
        painted = dict(stage.renders)
        tab.on(peer).settled()
        peer.drain()
        tab.settled()
        assert kinds(tab) == ["="]
        assert stage.renders == painted


def test_on_a_pod_that_is_behind_a_tab_never_goes_back(
    client: Client, pod: Pod, peer: Pod, backplane: FaultyBackplane, resumed: list[str]
) -> None:
    Stage.total.append(Add())
    assert Stage.total.using(peer).read(at_least=None) in (0, 1)
    peer.drain()
    async_to_sync(deaf_peer)(peer, backplane)
    with live_tab(client, "/counter/", pod=pod) as tab:
        Stage.total.append(Add())
        tab.sees("#total", "2")
        tab.settled()  # the bar as well
        tab.frames.clear()
        tab.on(peer)
        tab.until(lambda: len({frame.id for frame in tab.frames}) == 2 and set(kinds(tab)[-2:]) == {"="})
        assert "ahead" in resumed
        assert tab.text("#total") == "2"
        assert "r" not in kinds(tab)


def test_while_the_store_is_away_a_tab_that_shows_more_keeps_it_and_is_told_so(
    client: Client, pod: Pod, peer: Pod, backplane: FaultyBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Stage.total.using(peer).read() == 0
    async_to_sync(deaf_peer)(peer, backplane)
    monkeypatch.setitem(DEFAULTS, "LIVE_WAIT", 0.2)
    with live_tab(client, "/counter/", pod=pod) as tab:
        Stage.total.using(pod).append(Add())
        tab.sees("#total", "1")
        tab.settled()
        backplane.down = True
        tab.on(peer)
        tab.is_stale("[data-via]")
        assert tab.text("#total") == "1"
        backplane.down = False
        tab.until(lambda: not_stale(tab, "#total [data-via]"))
        assert tab.text("#total") == "1"


@pytest.mark.parametrize("left", [0, 1], ids=["all lost", "the same offset"])
def test_a_log_that_was_restored_is_shown_as_it_is_now(client: Client, pod: Pod, left: int) -> None:
    Stage.total.append(Add(5))
    with live_tab(client, "/counter/") as tab:
        tab.sees("#total", "5")
        tab.sleep()
        pod.thread.call(pod.backplane.drop(Stage.total.key))
        if left:
            Stage.total.append(Add(7))
        tab.wake().sees("#total", "7" if left else "0")


def test_blocks_of_a_visitor_are_of_that_visitor_alone(client: Client, pod: Pod) -> None:
    other = Client()
    for one, name in ((client, "ada"), (other, "bob")):
        one.force_login(User.objects.create_user(name))
    with live_tab(client, "/room/7/") as ada, live_tab(other, "/room/7/") as bob:
        Stage.room.at(room=7).append(Say("hi"))
        ada.sees("#room", "hi ada")
        bob.sees("#room", "hi bob")


def test_a_shared_block_is_rendered_once_for_all(client: Client, pod: Pod) -> None:
    with (
        live_tab(client, "/table/") as one,
        live_tab(Client(), "/table/") as two,
        live_tab(Client(), "/table/") as three,
    ):
        for tab in (one, two, three):
            tab.settled()
        before = stage.renders["table"]
        Stage.banner.set("spring")
        for tab in (one, two, three):
            tab.sees("#table h2", "spring")
        assert stage.renders["table"] == before + 1


def test_a_node_in_a_block_changes_by_itself(client: Client, pod: Pod) -> None:
    with live_tab(client, "/table/") as tab:
        Stage.total.append(Add(4))
        tab.sees("#table .sum", "4")
        tab.sees("#table .inner", "4")


def test_state_of_a_session_and_of_a_user_follows_them(client: Client, pod: Pod) -> None:
    user = User.objects.create_user("ada")
    client.force_login(user)
    client.post("/own/", {"text": "first"})
    with live_tab(client, "/own/") as tab, live_tab(Client(), "/own/") as stranger:
        assert (tab.text("#mine"), tab.text("#unread")) == ("first", "0")
        Stage(user).unread.set(3)
        tab.sees("#unread", "3")
        client.post("/own/", {"text": "second"})
        tab.sees("#mine", "second")
        stranger.settled()
        assert (stranger.text("#mine"), stranger.text("#unread")) == ("nothing", "0")
        assert all("second" not in str(frame) for frame in stranger.frames)


def test_a_visitor_who_may_not_see_a_block_any_more_loses_it(client: Client, pod: Pod) -> None:
    with live_tab(client, "/room/7/") as tab:
        Stage.closed.at(room=7).set(True)
        tab.is_gone("#room [data-via]", "denied")
        assert tab.text("#room") == ""
        frames = len(tab.frames)
        Stage.room.at(room=7).append(Say("secret"))
        tab.settled()
        assert len(tab.frames) == frames


def test_a_render_that_fails_keeps_what_is_shown_and_is_tried_again(client: Client, pod: Pod) -> None:
    room = Stage.room.at(room=7)
    with live_tab(client, "/room/7/") as tab:
        stage.raising.append(RuntimeError("the database is on fire"))
        room.append(Say("hi"))
        tab.is_stale("#room [data-via]")
        stage.raising.clear()
        tab.sees("#room", "hi")
        assert not_stale(tab, "#room [data-via]")
        assert "fire" not in str(tab.frames)


def test_a_key_that_halts_is_marked_and_resumes_by_itself(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "HALTED_RETRY", 0.1)
    with live_tab(client, "/counter/") as tab:
        Stage.total.append(Add(1))
        stage.unfoldable.add(13)
        Stage.total.append(Add(13), wait=False)
        tab.is_stale("#total [data-via]")
        tab.sees("#total", "1")
        stage.unfoldable.clear()
        tab.sees("#total", "14")
        tab.until(lambda: not_stale(tab, "#total [data-via]"))


def test_what_is_no_state_is_rendered_again_when_somebody_says_so(client: Client, pod: Pod) -> None:
    with live_tab(client, "/stock/") as tab:
        tab.settled()
        stage.stock["left"] = 6
        (hub,) = hubs_of(pod)
        hub.loop.call_soon_threadsafe(hub.refresh, {one.id for one in tab.nodes})
        tab.sees("#stock", "6")
        tab.sleep()
        stage.stock["left"] = 5
        tab.wake().sees("#stock", "5")


def test_a_block_of_a_visitor_whose_rights_change_is_rendered_again(client: Client, pod: Pod) -> None:
    user = User.objects.create_user("ada")
    client.force_login(user)
    with live_tab(client, "/room/7/") as tab, live_tab(Client(), "/counter/") as other:
        tab.settled()
        other.settled()
        before = dict(stage.renders)
        stage.raising.append(PermissionDenied())
        user.is_staff = True
        user.save()
        tab.is_gone("#room [data-via]", "denied")
        assert tab.text("#room") == ""
        assert stage.renders.get("table") == before.get("table")


def test_an_allow_that_raises_marks_its_node_and_no_other(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the tab comes, and when it is looked at again; and it is asked until it can be told."""

    def broken(user: object) -> bool:
        if stage.raising:
            raise stage.raising[0]
        return True

    monkeypatch.setattr(consumer, "ASK_AGAIN", 0.05)
    monkeypatch.setattr(fragments.get("stage/staff.html"), "allow", broken)
    user = User.objects.create_user("ada", is_staff=True)
    client.force_login(user)
    with live_tab(client, "/staff/") as tab, live_tab(client, "/room/7/") as room:
        tab.settled()
        stage.raising.append(RuntimeError("its service is away"))
        (hub,) = hubs_of(pod)
        hub.loop.call_soon_threadsafe(hub.recheck)
        tab.is_stale("#staff [data-via]")
        tab.frames.clear()
        tab.back().until(lambda: kinds(tab)[-1:] == ["s"])
        User.objects.update(is_active=False)
        hub.loop.call_soon_threadsafe(hub.recheck)
        room.until(lambda: room.closed == 4401)
        User.objects.update(is_active=True)
        stage.raising.clear()
        tab.frames.clear()
        tab.back().until(lambda: kinds(tab)[-1:] == ["="])
        stage.raising.append(RuntimeError("its service is away"))
        tab.frames.clear()
        tab.back().until(lambda: kinds(tab)[-1:] == ["s"])
        stage.raising.clear()
        tab.until(lambda: kinds(tab)[-1:] == ["="])
    assert "stage/staff.html" in caplog.text


def test_who_may_see_a_shared_block_is_asked_again(client: Client, pod: Pod) -> None:
    user = User.objects.create_user("ada", is_staff=True)
    client.force_login(user)
    with live_tab(client, "/staff/") as tab:
        Stage.total.append(Add(2))
        tab.sees("#staff .secret", "2")
        User.objects.update(is_staff=False)
        (hub,) = hubs_of(pod)
        hub.loop.call_soon_threadsafe(hub.recheck)
        tab.is_gone("#staff [data-via]", "denied")


@pytest.mark.parametrize("how", ["logout", "flush", "deleted", "password", "inactive"])
def test_a_tab_ends_with_the_login_of_its_visitor(client: Client, pod: Pod, how: str) -> None:
    user = User.objects.create_user("ada")
    client.force_login(user)
    with live_tab(client, "/room/7/") as tab:
        tab.settled()
        if how == "logout":
            client.logout()
        elif how == "flush":
            client.session.flush()
        elif how == "deleted":
            user.delete()
        elif how == "password":
            user.set_password("another")
            user.save()
        else:
            User.objects.update(is_active=False)
        (hub,) = hubs_of(pod)
        hub.loop.call_soon_threadsafe(hub.recheck)
        tab.until(lambda: tab.closed == 4401)
        assert tab.byes == ["signed-out"]


def test_the_ticket_of_a_page_is_of_no_use_in_another_browser(client: Client, pod: Pod) -> None:
    client.force_login(User.objects.create_user("ada"))
    with live_tab(client, "/room/7/") as tab:
        tab.drop()
        tab.client = Client()
        tab.connect()
        tab.until(lambda: tab.closed == 4401)
        assert tab.byes == ["signed-out"]


def test_nothing_is_left_of_a_thousand_tabs(client: Client, pod: Pod) -> None:
    with live_tab(client, "/room/7/") as tab:
        for _ in range(100):
            tab.back()
        tab.settled()
        (hub,) = hubs_of(pod)
        assert (len(hub.tabs), len(hub.groups)) == (1, 1)
    assert (len(hub.tabs), len(hub.groups)) == (0, 0)
    pod.drain()
    assert not pod.replicas._logs[Stage.room.at(room=7).key].subscribers
