"""What a load balancer and a supervisor are told of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.world import EVERY, World, kind_of
from via_state import State, StateApp, StateAppEvents, health, views
from via_state.declarations.registry import registry
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.runtime.loop import BEAT
from via_state.testing import pods

hang = threading.Event()


@dataclass(frozen=True, slots=True)
class Hung:
    """Its fold waits for the test."""

    def fold(self, total: int) -> int:
        hang.wait(60)
        return total + 1


@dataclass(frozen=True, slots=True)
class Broken:
    def fold(self, total: int) -> int:
        raise ValueError("never")


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    with registry.isolated():
        yield


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(kind_of(request))
    with override_settings(
        VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": made.prefix, "RECONCILE_INTERVAL": 0.1}
    ):
        yield made
        made.close()


@pytest.fixture
def pod(world: World) -> Iterator[Pod]:
    made = world.start()
    with use_pod(made):
        yield made


def ask(view: Callable[[HttpRequest], HttpResponse]) -> tuple[int, str]:
    answer = view(RequestFactory().get("/"))
    return answer.status_code, answer.content.decode()


def status(view: Callable[[HttpRequest], HttpResponse]) -> int:
    return ask(view)[0]


def test_a_hung_fold_is_known_within_10_seconds() -> None:
    assert health.HANGS + BEAT < 10


def test_a_process_whose_loop_hangs_is_neither_alive_nor_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    class Site(State):
        log = StateAppEvents(Hung, key="hung")

    hang.clear()
    with pods(1) as (pod,), use_pod(pod):
        assert status(views.livez) == 200
        monkeypatch.setattr(health, "HANGS", 2.5)
        try:
            Site.log.using(pod).append(Hung(), wait=False)
            reader = threading.Thread(target=Site.log.using(pod).read)
            reader.start()
            wait_until(lambda: status(views.livez) == 503, "the hung loop", timeout=30)
            assert "no turn" in ask(views.livez)[1]
            assert pod.thread.alive  # its thread is: that proves nothing
            assert status(views.readyz) == 503
        finally:
            hang.set()
        reader.join(60)
        wait_until(lambda: status(views.livez) == 200, "the next beat", timeout=30)


def test_a_process_is_ready_when_its_declared_keys_are_loaded(pod: Pod, world: World) -> None:
    class Site(State):
        hits = StateApp(int, key="hits")
        log = StateAppEvents(Broken, key="broken")
        room = StateApp(int, key="room.{room}")

    for verb in ("load_many", "read"):
        world.plane.fail(verb, *[Fault.BEFORE] * 1000)
    code, text = ask(views.readyz)
    assert (code, "declared keys are not loaded" in text) == (503, True)
    world.plane.faults.clear()
    wait_until(lambda: status(views.readyz) == 200, "the keys")
    assert pod.replicas.holds("hits")
    assert pod.replicas.holds("broken")


def test_a_halted_key_makes_no_process_unready(pod: Pod) -> None:
    class Site(State):
        log = StateAppEvents(Broken, key="broken")

    Site.log.using(pod).append(Broken(), wait=False)
    wait_until(lambda: status(views.readyz) == 200, "the keys")
    assert Site.log.using(pod).status().halted is not None
    assert status(views.readyz) == 200


def test_a_process_is_not_ready_while_its_backplane_is_away(pod: Pod, world: World) -> None:
    wait_until(lambda: status(views.readyz) == 200, "the start")
    pod.thread.soon(pod.begin)
    world.plane.down = True
    wait_until(lambda: status(views.readyz) == 503, "the sweep that fails")
    assert "away" in ask(views.readyz)[1]
    assert status(views.livez) == 200
    world.plane.down = False
    wait_until(lambda: status(views.readyz) == 200, "the sweep that succeeds")


def test_a_process_is_not_ready_once_it_drains(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: status(views.readyz) == 200, "the start")
    monkeypatch.setattr(health, "_draining", threading.Event())
    health.drain()
    assert ask(views.readyz) == (503, "This process is about to end.\n")
    assert status(views.livez) == 200
