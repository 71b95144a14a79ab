"""Web servers end, are killed and are replaced while their tabs are open."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from testproject.servers.waiting import wait_until
from tests.cluster.served_tabs import Fleet, ServedTab, StagePod

pytestmark = pytest.mark.cluster

TABS = 12


@pytest.fixture
def fleet(environment: dict[str, str], tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(lambda name, **more: StagePod(name, tmp_path, {**environment, **more}))
    try:
        fleet.start("one", "two")
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def tabs(fleet: Fleet) -> Iterator[list[ServedTab]]:
    tabs = [ServedTab(fleet, "/counter/", fleet.pods[number % 2]) for number in range(TABS)]
    for tab in tabs:
        tab.open()
    yield tabs
    for tab in tabs:
        tab.close()


def all_see(tabs: list[ServedTab], total: int) -> None:
    for tab in tabs:
        tab.sees("#total", str(total))


def ends(fleet: Fleet, pod: StagePod, number: signal.Signals, tabs: list[ServedTab]) -> list[ServedTab]:
    """The process ends while others append; the tabs that it had, when all of them show what was appended."""
    before = int(tabs[0].text("#total"))
    moved = [tab for tab in tabs if tab.at_pod is pod]
    returns = {tab: tab.returns for tab in tabs}
    fleet.pods.remove(pod)
    pod.process.signal(number)
    for _ in range(10):
        tabs[0].post(number="1")
    all_see(tabs, before + 10)
    wait_until(lambda: not pod.process.running, "its end")
    tabs[0].post(number="1")
    all_see(tabs, before + 11)
    assert {tab for tab in tabs if tab.returns > returns[tab]} == set(moved)
    return moved


def test_servers_end_are_killed_and_replaced_and_no_tab_loses_anything(
    fleet: Fleet, tabs: list[ServedTab]
) -> None:
    """`LiveTab` refuses each frame that is older than what it shows, so none ever goes back."""
    room = ServedTab(fleet, "/room/7/", fleet.pods[1])
    room.open()
    plain = room.text("#room")
    moved = ends(fleet, fleet.pods[0], signal.SIGTERM, tabs)
    assert [tab.byes for tab in moved] == [["drain"]] * len(moved)

    # What a tab shows is not sent again by another process of the same code.
    (same,) = fleet.start("three")
    rendered = sum(frame.kind in "hd" for frame in room.frames)
    room.frames.clear()
    moved = ends(fleet, fleet.pods[0], signal.SIGKILL, tabs)
    assert not any("drain" in tab.byes[1:] for tab in moved)
    room.until(lambda: room.at_pod is same and [frame.kind for frame in room.frames] == ["="])
    assert not rendered

    # Of other code, it is.
    (other,) = fleet.start("four", VIA_TEST_STAGE="* ")
    ends(fleet, same, signal.SIGTERM, tabs)
    room.until(lambda: room.at_pod is other and "h" in [frame.kind for frame in room.frames])
    assert room.text("#room") == plain.replace("line", "* line")
    room.close()
