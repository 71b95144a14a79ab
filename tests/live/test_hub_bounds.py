"""What a hub takes of a tab: nothing that is forged, not more than its bounds, and no more frames than the tab reads."""

from __future__ import annotations

from concurrent.futures import wait

import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client import REGISTRY

from testproject.servers.waiting import wait_until
from tests.live.stage import Add, Stage
from via_state.conf import DEFAULTS
from via_state.live.announcing.broadcasts import broadcast_notify
from via_state.live.protocol.codes import FAULT, SLOW, UNASKED
from via_state.live.protocol.frames import PONG
from via_state.live.serving import consumer
from via_state.live.serving import hub as hubs
from via_state.live.serving.consumer import TabConsumer
from via_state.live.serving.hub import Hub
from via_state.live.serving.hubs import hubs_of
from via_state.live.serving.tab import WAITING_LINES, Tab
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab
from via_state.testing.live.connection import Connection, Consumed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]


def sample(metric: str, /, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0.0


def kinds(tab: LiveTab) -> list[str]:
    return [frame.kind for frame in tab.frames]


def painted(hub: Hub) -> set[int]:
    """Up to which event each node has been painted."""
    return {one.painted.at[Stage.total.key].offset for one in hub.groups.values() if one.painted}


@pytest.mark.parametrize(
    "said",
    [
        "garbage", b"binary", "[]", '{"ack": 1000000000}', '{"ping": 1, "drop": []}', '{"hello": "x", "nodes": []}', "x" * 200_000,
        "[" * 10_000, '{"add": [["t", {}, "e", "more"]]}', "\n".join(['{"ping": 1}'] * 17), '{"ping": 1, "eval": "1"}',
    ],
    ids=range(11),
)  # fmt: skip
def test_garbage_ends_the_connection_that_sends_it_and_no_other(
    client: Client, pod: Pod, said: str | bytes
) -> None:
    with live_tab(client, "/counter/") as good, live_tab(Client(), "/counter/") as bad:
        bad.raw(said)
        bad.until(lambda: bad.closed == UNASKED)
        Stage.total.append(Add())
        good.sees("#total", "1")


def test_a_tab_that_says_too_much_is_ended(client: Client, pod: Pod) -> None:
    with live_tab(client, "/counter/") as tab:
        for _ in range(40):
            tab.say(ping=1)
        tab.until(lambda: tab.closed == UNASKED)


def test_a_token_of_another_visitor_and_a_forged_one_are_refused_alike(client: Client, pod: Pod) -> None:
    """Operators see which it was."""
    counted = {why: sample("via_tokens_refused_total", why=why) for why in ("forged", "old", "other")}
    client.force_login(User.objects.create_user("ada"))
    with live_tab(client, "/room/7/") as ada, live_tab(Client(), "/counter/") as bob:
        token = ada.nodes[0].token
        for one in (token, token[:-1] + ("A" if token[-1] != "A" else "B"), "x"):
            bob.say(add=[[one, {}]])
        bob.until(lambda: bob.refused == ["token"] * 3)
    made = {why: sample("via_tokens_refused_total", why=why) - before for why, before in counted.items()}
    assert made == {"forged": 2, "old": 0, "other": 1}


def test_a_tab_that_can_not_be_told_something_is_closed_and_no_other(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever raises where its news is made: all others have theirs, and it comes back."""
    with live_tab(client, "/counter/") as bad, live_tab(Client(), "/counter/") as good:
        bad.settled()
        good.settled()
        (hub,) = hubs_of(pod)
        first = min(hub.tabs, key=lambda tab: tab.number)
        real = Tab._frames
        monkeypatch.setattr(Tab, "_frames", lambda tab: 1 / 0 if tab is first else real(tab))
        Stage.total.append(Add())
        good.sees("#total", "1")
        bad.until(lambda: bad.closed == FAULT)
        bad.back().sees("#total", "1")


def test_a_tab_that_can_not_be_looked_at_is_closed_and_the_rounds_continue(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that ended would leave all tabs without a word, and they would take the server for dead."""
    monkeypatch.setattr(hubs, "ROUND", 0.05)
    monkeypatch.setattr(hubs, "SILENCE", 0.05)
    with live_tab(client, "/counter/") as bad, live_tab(Client(), "/counter/") as good:
        bad.settled()
        good.settled()
        (hub,) = hubs_of(pod)
        first = min(hub.tabs, key=lambda tab: tab.number)
        monkeypatch.setattr(Tab, "beat", lambda tab: 1 / 0 if tab is first else tab.line(PONG))
        bad.until(lambda: bad.closed == FAULT)
        count = good.received
        good.until(lambda: good.received > count + 2)


def test_c4_a_process_has_only_so_many_tabs(client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has said nothing yet counts, too; when one leaves there is room again."""
    wait_until(lambda: TabConsumer.open_sockets == 0, "the connections of other tests to end")
    monkeypatch.setattr(consumer, "HELLO", 60.0)  # a loaded machine needs a while for the others
    monkeypatch.setitem(DEFAULTS, "LIVE_TABS", 2)
    with live_tab(client, "/counter/") as one:
        silent = LiveTab(client, "/counter/", pod)
        silent._connection = silent.dial()
        wait_until(lambda: TabConsumer.open_sockets == 2, "its connection")
        other = LiveTab(Client(), "/counter/", pod)
        other.open()
        other.until(lambda: other.closed == SLOW)
        silent.drop()
        other.back().until(lambda: len({frame.id for frame in other.frames}) == 2)
        other.drop()
        Stage.total.append(Add())
        one.sees("#total", "1")
    assert TabConsumer.open_sockets == 0


def test_a_tab_knows_that_it_was_refused_before_it_had_its_connection(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowTab(LiveTab):
        def dial(self) -> Connection:
            connection = super().dial()
            assert isinstance(connection, Consumed)
            wait([connection._future], 0.2)
            return connection

    monkeypatch.setitem(DEFAULTS, "LIVE_TABS", 0)
    tab = SlowTab(client, "/counter/", pod)
    tab.open()
    tab.until(lambda: tab.closed == SLOW)


def test_a_page_has_only_so_many_live_places(client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULTS, "LIVE_NODES", 1)
    with live_tab(client, "/counter/") as tab:
        tab.until(lambda: tab.refused == ["limit"])
        Stage.total.append(Add())
        tab.until(lambda: any(frame.kind == "t" for frame in tab.frames))


def test_a_stalled_tab_gets_the_newest_only_when_it_reads_on(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it acknowledges, no more than the window is under way; then one frame tells all that it missed."""
    monkeypatch.setitem(DEFAULTS, "LIVE_FRAMES", 1_000_000)
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        (hub,) = hubs_of(pod)
        (served,) = hub.tabs
        tab.acknowledges = False
        appended = 0
        while served.window.open and appended < 100:
            Stage.total.append(Add())
            appended += 1
            tab.settled()
        assert not served.window.open
        overflows = sample("via_tab_overflows_total")
        for number in range(WAITING_LINES + 4):
            broadcast_notify(str(number))
        wait_until(lambda: sample("via_tab_overflows_total") == overflows + 4, "the oldest that wait to go")
        shown = int(tab.text("#total"))
        for _ in range(20):
            Stage.total.append(Add())
        wait_until(lambda: painted(hub) == {appended + 20}, "what both nodes show now")
        tab.frames.clear()
        tab.acknowledges = True
        tab.say(ack=tab.received)
        tab.sees("#total", str(appended + 20))
        tab.settled()
        assert kinds(tab).count("t") == 2
        assert shown < appended + 20
