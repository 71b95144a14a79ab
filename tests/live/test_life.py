"""What happens to the state that open tabs show: it ends, is evicted, begins again, is slow; and to the process that serves them."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import cast

import pytest
from django.test import Client

from testproject.servers.waiting import wait_until
from tests.faults import FaultyBackplane
from tests.live import stage
from tests.live.stage import Add, Say, Stage
from via_state.backplanes.memory import MemoryBackplane
from via_state.conf import DEFAULTS
from via_state.live.protocol.codes import SLOW
from via_state.live.serving import hub as hubs
from via_state.live.serving.hubs import hubs_of
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab
from via_state.testing.live import connection as tabs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]


def test_a_log_that_begins_again_with_an_equal_value_moves_the_page_to_its_epoch(client: Client, pod: Pod) -> None:
    """Or the page would keep a position of a history that is no more, and be ahead of every other one."""
    Stage.total.append(Add(5))
    with live_tab(client, "/counter/") as tab:
        tab.settled()
        before = tab.nodes[0].at
        pod.thread.call(pod.backplane.drop(Stage.total.key))
        Stage.total.append(Add(5))
        tab.until(lambda: tab.nodes[0].at != before)
        tab.settled()
        assert tab.text("#total") == "5"
        Stage.total.append(Add())
        tab.sees("#total", "6")
        assert tab.back().closed is None


def test_a_cell_that_went_while_a_tab_slept_shows_its_default(
    client: Client, pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    """It is neither before nor after what the tab shows: the pod that it comes back to looks at the store."""
    Stage.banner.set("spring")
    with live_tab(client, "/table/") as tab:
        tab.sees("#table h2", "spring")
        tab.sleep()
        del cast(MemoryBackplane, backplane.inner)._cells[Stage.banner.key]
        tab.on(peer).sees("#table h2", "welcome")


def test_what_was_evicted_while_nobody_watched_is_there_again(client: Client, pod: Pod) -> None:
    room = Stage.room.at(room=7)
    room.append(Say("hi"))
    with live_tab(client, "/room/7/") as tab:
        tab.settled()
        tab.sleep()
        wait_until(lambda: not pod.replicas._logs[room.key].subscribers, "nobody who watches")
        pod.thread.call(_evict(pod, room.key))
        tab.frames.clear()
        rendered = dict(stage.renders)
        tab.wake().settled()
        assert [frame.kind for frame in tab.frames] == ["="]
        assert stage.renders == rendered
        room.append(Say("again"))
        tab.sees("#room", "hiagain")


async def _evict(pod: Pod, key: str) -> None:
    del pod.replicas._logs[key]


@pytest.fixture
def other_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop beside that of all other tabs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_tabs_of_two_event_loops_of_one_process_show_the_same(
    client: Client, pod: Pod, other_loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_tab(client, "/counter/") as one:
        with monkeypatch.context() as patch:
            patch.setattr(tabs, "_loop", lambda: other_loop)
            two = LiveTab(Client(), "/counter/", pod)
            two.open()
            two.until(lambda: len({frame.id for frame in two.frames}) == 2)
        assert len(hubs_of(pod)) == 2
        Stage.total.append(Add(3))
        one.sees("#total", "3")
        two.sees("#total", "3")
        with monkeypatch.context() as patch:
            patch.setattr(tabs, "_loop", lambda: other_loop)
            two.drop()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_off_serves_tabs_of_its_own(client: Client, pod: Pod) -> None:
    with live_tab(client, "/table/") as tab:
        tab.settled()
        process = multiprocessing.get_context("fork").Process(target=_serve)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        Stage.banner.set("spring")
        tab.sees("#table h2", "spring")


def _serve() -> None:
    """In the child: its parent's pod, loop and threads are not there."""
    from via_state.backplanes.memory import MemoryBackplane

    tabs._shared, tabs._lock = None, threading.Lock()
    made = Pod(MemoryBackplane({}))
    with using_pod(made):
        tab = LiveTab(Client(), "/table/", made)
        tab.open()
        Stage.banner.using(made).set("autumn")
        tab.sees("#table h2", "autumn")


def test_tabs_know_over_what_time_all_that_there_are_by_now_come_back(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them came when there were few."""
    monkeypatch.setattr(hubs, "ROUND", 0.05)
    monkeypatch.setitem(DEFAULTS, "LIVE_RETURNS", 1)
    with live_tab(client, "/counter/") as first:
        first.until(lambda: first.spread == 1000)
        with live_tab(Client(), "/counter/") as second, live_tab(Client(), "/counter/") as third:
            for tab in (first, second, third):
                tab.until(lambda tab=tab: tab.spread == 3000)  # type: ignore[misc]
        first.until(lambda: first.spread == 1000)


def test_a_slow_block_is_rendered_less_often_and_folds_nothing_more_slowly(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group takes a tenth of a core at most; what it shows at the end is the last of all."""
    took = 0.02
    real = stage.count

    def slow(name: str) -> None:
        time.sleep(took)
        real(name)

    monkeypatch.setattr(stage, "count", slow)
    with live_tab(client, "/table/") as tab:
        tab.settled()
        before, began = stage.renders["table"], time.monotonic()
        for _ in range(300):
            Stage.total.append(Add())
        assert Stage.total.read() == 300
        tab.sees("#table .sum", "300")
        renders = stage.renders["table"] - before
        assert 1 <= renders <= 2 + (time.monotonic() - began) / (10 * took)


def test_a_tab_that_takes_nothing_is_closed_and_comes_back_for_the_newest(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large blocks, and no acknowledgement: what waits for it is one frame, and in the end it is sent away."""
    monkeypatch.setattr(hubs, "ROUND", 0.05)
    monkeypatch.setattr(hubs, "PATIENCE", 0.1)
    monkeypatch.setitem(DEFAULTS, "LIVE_FRAMES", 1_000_000)
    room = Stage.room.at(room=7)
    with live_tab(client, "/room/7/") as tab, live_tab(Client(), "/room/7/") as good:
        tab.acknowledges = False
        for number in range(40):
            room.append(Say(f"{number:05}" * 4000))  # 20 KB more each time
            good.until(lambda number=number: f"{number:05}" in good.text("#room"))  # type: ignore[misc]
        tab.until(lambda: tab.closed == SLOW)
        tab.acknowledges = True
        tab.frames.clear()
        tab.back().until(lambda: "00039" in tab.text("#room"))
        assert sum(frame.kind in "hd" for frame in tab.frames) == 1
