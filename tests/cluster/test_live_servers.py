"""Live pages behind each web server, and while the store is away; what a visit and a return cost is counted in the servers."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testproject.servers.proxy import Proxy
from testproject.servers.waiting import wait_until
from tests.cluster.served_tabs import Fleet, ServedTab, StagePod
from via_state.live.protocol.codes import UNASKED

pytestmark = pytest.mark.cluster


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts web processes, each the name of its server."""
    fleets: list[Fleet] = []

    def start(*servers: str, **more: str) -> Fleet:
        fleet = Fleet(
            lambda name, **env: StagePod(name, tmp_path, {**environment, **more, **env}, server=name.split(" ")[0])
        )
        fleets.append(fleet)
        fleet.start(*servers)
        return fleet

    yield start
    for fleet in fleets:
        fleet.stop()


@pytest.fixture
def opened(start: Callable[..., Fleet]) -> Iterator[Callable[..., list[ServedTab]]]:
    """Opens these pages on each process of a fleet."""
    tabs: list[ServedTab] = []

    def opened(fleet: Fleet, *paths: str) -> list[ServedTab]:
        tabs.extend(ServedTab(fleet, path, pod) for path in paths for pod in fleet.pods)
        for tab in tabs:
            tab.open()
        return tabs

    yield opened
    for tab in tabs:
        tab.close()


def what_is_wrong(pod: StagePod, field: str, typed: str) -> str:
    """What a page shows of a form that is being filled in."""
    token = "t" * 32
    headers = {"X-Via": f"validate; {field}", "X-CSRFToken": token, "Cookie": f"csrftoken={token}"}
    asked = urllib.request.Request(f"{pod.url}/counter/", f"{field}={typed}".encode(), headers, method="QUERY")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("server", "environment"), [("daphne", "postgres"), ("hypercorn", "nats")], indirect=["environment"]
)
def test_a_server_of_any_kind_that_ends_loses_no_tab(
    start: Callable[..., Fleet], opened: Callable[..., list[ServedTab]], server: str
) -> None:
    """`LiveTab` refuses each frame that is older than what it shows. Uvicorn: `test_live_deploys`."""
    fleet = start(f"{server} one", "uvicorn two")
    for pod in fleet.pods:
        assert "Enter a whole number." in what_is_wrong(pod, "number", "x"), "a form may ask while it is filled in"
    ends, stays = fleet.pods
    tabs = opened(fleet, "/counter/", "/room/7/")
    counters, rooms = tabs[:2], tabs[2:]
    total = int(counters[0].text("#total"))
    counters[0].post(number="1")
    for tab in counters:
        tab.sees("#total", str(total + 1))
    garbage_is_shown_out(ends, counters[0])
    moved = [tab for tab in tabs if tab.at_pod is ends]
    fleet.pods.remove(ends)
    ends.process.signal(signal.SIGTERM)
    for _ in range(5):
        counters[1].post(number="1")
    for tab in counters:
        tab.sees("#total", str(total + 6))
    wait_until(lambda: not ends.process.running, "its end")
    for tab in moved:
        tab.until(lambda tab=tab: tab.at_pod is stays and tab.closed is None)  # type: ignore[misc]
        assert tab.returns >= 1
    assert rooms[0].text("#room") == rooms[1].text("#room")


def garbage_is_shown_out(pod: StagePod, tab: ServedTab) -> None:
    """Each server takes the code with which a connection is closed; a socket that stays open would be counted nowhere."""
    closed: list[int] = []
    socket = tab.dial(lambda _, code: closed.append(code), at=pod)
    socket.say("garbage")
    wait_until(lambda: closed == [UNASKED], "the end of a connection that said garbage")


def counts(pod: StagePod) -> dict[str, int]:
    """What the process has done so far: renders of blocks, and statements of Django's connections."""
    with urllib.request.urlopen(f"{pod.url}/counts/", timeout=20) as answer:
        found: dict[str, int] = json.load(answer)
        return found


def test_coming_and_coming_back_costs_no_render_and_no_query(
    start: Callable[..., Fleet], opened: Callable[..., list[ServedTab]]
) -> None:
    """On two pods, over PostgreSQL and over NATS; on the pod that made the page, and on the other one."""
    fleet = start("uvicorn one", "uvicorn two")
    tabs = opened(fleet, "/counter/", "/room/7/", "/table/")
    for tab in tabs:
        tab.until(lambda tab=tab: len(tab.frames) >= len(tab.nodes))  # type: ignore[misc]
    before = [counts(pod) for pod in fleet.pods]
    assert all(found["renders"] and found["queries"] is not None for found in before)
    for _ in range(2):
        for tab in tabs:
            tab.at_pod = next(pod for pod in fleet.pods if pod is not tab.at_pod)
            tab.frames.clear()
            tab.back()
            tab.until(lambda tab=tab: len(tab.frames) >= len(tab.nodes))  # type: ignore[misc]
            assert {frame.kind for frame in tab.frames} == {"="}
    assert [counts(pod) for pod in fleet.pods] == before


@pytest.mark.parametrize("environment", ["postgres"], indirect=True)
def test_while_postgresql_is_away_pages_stay_and_then_show_what_is_new(
    start: Callable[..., Fleet], opened: Callable[..., list[ServedTab]], postgres_proxy: Proxy
) -> None:
    fleet = start("uvicorn one", "uvicorn two", VIA_DATABASE_PORT=str(postgres_proxy.port))
    tabs = opened(fleet, "/counter/")
    total = int(tabs[0].text("#total"))
    postgres_proxy.cut()
    with pytest.raises(OSError, match=r"500|503|timed out"):
        tabs[0].post(number="1")
    for tab in tabs:
        tab.frames.clear()
        tab.back()  # nothing can be proven, nothing is lost
        assert tab.text("#total") == str(total)
    postgres_proxy.restore()
    wait_until(lambda: posted(tabs[0]), "an answer")
    shown = {tab.text("#total") for tab in tabs}
    tabs[0].post(number="5")
    for tab in tabs:
        tab.until(lambda tab=tab: int(tab.text("#total")) >= total + 6)  # type: ignore[misc]
    assert all(int(text) >= total for text in shown)


def posted(tab: ServedTab) -> bool:
    try:
        tab.post(number="1")
    except OSError:
        return False
    return True
