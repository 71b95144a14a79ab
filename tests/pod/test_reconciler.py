"""One loop asks for all: nobody's fault, slowness or bad moment costs anyone else a change."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.db import InterfaceError

from tests.faults import FaultyBackplane
from tests.handlers.world import shop_of, until
from tests.runtime.service_kit import ServiceKit
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import Changes, Position
from via_state.declarations.catalog import handled_logs
from via_state.handlers.projection_keeper import ProjectionKeeper
from via_state.handlers.worker import Worker
from via_state.pod.pod import Pod
from via_state.pod.reading.reconciler import Reconciler
from via_state.runtime.service import Service

KEY = "tests.reconciled"


class Follower:
    """Keeps what it is told, as far as ``behave`` lets it."""

    def __init__(self, name: str = "The follower") -> None:
        self.name = name
        self.told: list[Changes] = []
        self.rings: list[str] = []
        self.behave: Callable[[], Any] = lambda: None

    def rang(self, key: str) -> None:
        self.rings.append(key)

    def has(self, key: str, position: Position) -> bool:
        return False

    def mark(self) -> object:
        return None

    async def moved(self, changes: Changes, mark: object) -> None:
        outcome = self.behave()
        if asyncio.isfuture(outcome):
            await outcome
        self.told.append(changes)

    @property
    def keys(self) -> set[str]:
        return {key for changes in self.told for key in changes.logs}


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def append(plane: FaultyBackplane, key: str = KEY) -> None:
    await plane.inner.append(key, uuid.uuid4().hex, 1, b'[["Add",1,{}]]')


@pytest.fixture
def plane() -> FaultyBackplane:
    return FaultyBackplane(MemoryBackplane({}))


@pytest.fixture
async def reconciler(plane: FaultyBackplane) -> AsyncIterator[Reconciler]:
    made = Reconciler(plane)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.VIA_STATE = {"RECONCILE_INTERVAL": 0.02}


class TestReconciler(ServiceKit):
    def make(self) -> Service:
        return Reconciler(FaultyBackplane(MemoryBackplane({})))


@pytest.mark.parametrize("error", [InterfaceError("gone"), ValueError("surprise"), UnicodeError("\ud800")])
async def test_a_follower_that_raises_loses_nothing_and_costs_the_others_nothing(
    reconciler: Reconciler, plane: FaultyBackplane, error: Exception
) -> None:
    bad, good = Follower(), Follower()

    def fail() -> None:
        bad.behave = lambda: None
        raise error

    for one in (bad, good):
        reconciler.follow(one)
    await eventually(lambda: bool(bad.told and good.told))
    bad.behave = fail
    await append(plane)
    await eventually(lambda: KEY in good.keys)
    await eventually(lambda: len([one for one in bad.told if one.everything]) == 2)
    assert sum(one.everything for one in good.told) == 1
    await append(plane, "tests.later")
    await eventually(lambda: "tests.later" in bad.keys & good.keys)


async def test_a_slow_follower_is_told_of_all_that_moved_meanwhile_and_nobody_waits_for_it(
    reconciler: Reconciler, plane: FaultyBackplane
) -> None:
    slow, quick = Follower(), Follower()
    for one in (slow, quick):
        reconciler.follow(one)
    await eventually(lambda: bool(slow.told and quick.told))
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    slow.behave = lambda: gate
    for key in ("tests.one", "tests.two", "tests.three"):
        await append(plane, key)
        await eventually(lambda key=key: key in quick.keys)  # type: ignore[misc]
    gate.set_result(None)
    await eventually(lambda: slow.keys >= {"tests.one", "tests.two", "tests.three"})
    assert sum(one.everything for one in slow.told) == 1


async def test_what_may_have_changed_during_a_sweep_is_looked_at_in_the_next_one(plane: FaultyBackplane) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()
    changed = plane.changed

    async def slow(cursor: object | None) -> Changes:
        asked.set()
        await gate.wait()
        return await changed(cursor)

    plane.changed = slow  # type: ignore[method-assign]
    reconciler = Reconciler(plane)
    await reconciler.start()
    try:
        await asked.wait()
        asked.clear()
        reconciler._rang(None)
        with_a_long_interval(reconciler)
        gate.set()
        async with asyncio.timeout(15):
            await asked.wait()
    finally:
        await reconciler.stop()


def with_a_long_interval(reconciler: Reconciler) -> None:
    """Nothing but a ring makes it sweep from now on."""
    sweep = reconciler._sweep

    async def once() -> float:
        await sweep()
        return 3600.0

    reconciler._flight._body = once


async def test_a_backplane_that_is_away_is_said_once(
    reconciler: Reconciler, plane: FaultyBackplane, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "via_state")
    follower = Follower()
    reconciler.follow(follower)
    await eventually(lambda: bool(follower.told))
    plane.down = True
    before = plane.calls["changed"]
    await eventually(lambda: plane.calls["changed"] > before + 5)
    plane.down = False
    told = len(follower.told)
    await eventually(lambda: len(follower.told) > told)
    said = [one.getMessage().partition(",")[0] for one in caplog.records if one.name == "via_state.pod"]
    assert said == ["The backplane is away", "The backplane works again"]


async def test_a_key_rings_until_its_last_follower_leaves(reconciler: Reconciler, plane: FaultyBackplane) -> None:
    one, other = Follower(), Follower()
    followings = [reconciler.follow(one), reconciler.follow(other)]
    for following in followings:
        following.watch(KEY)
        following.watch(KEY)
    await append(plane)
    await eventually(lambda: one.rings == [KEY] == other.rings)
    await followings[0].close()
    await append(plane)
    await eventually(lambda: other.rings == [KEY, KEY])
    assert one.rings == [KEY]
    followings[1].unwatch(KEY)
    await append(plane)
    await append(plane, "tests.later")
    await eventually(lambda: "tests.later" in other.keys)
    assert other.rings == [KEY, KEY]


async def test_any_number_of_services_runs_beside_a_pod(pod: Pod) -> None:
    class Beside(Service):
        stopped = False

        async def _stop(self) -> None:
            self.stopped = True

    async def settle() -> None:
        settled.append(True)

    settled: list[bool] = []
    beside = [Beside(), Beside()]
    for one in beside:
        pod.add(one, settle)
    await eventually(lambda: all(one.running for one in beside))
    await pod.adrain()
    assert settled == [True, True]
    await pod.aclose()
    assert all(one.stopped for one in beside)


@pytest.mark.django_db(databases=["default"], transaction=True)
def test_a_worker_process_asks_once_each_interval_for_all_that_runs_in_it() -> None:
    with shop_of("memory", RECONCILE_INTERVAL=0.05) as shop:

        @shop.orders().on_event("ship")
        def ship(event: object, delivery: object) -> None: ...

        pod = shop.pod
        worker = Worker(pod.reconciler, shop.memory, handled_logs())
        keeper = ProjectionKeeper(pod, handled_logs(without_handlers=True), None)
        follower = Follower()

        async def start() -> None:
            await pod.services.start()
            for one in (worker, keeper):
                await pod.services.add(one)
            pod.reconciler.follow(follower)

        pod.thread.call(start())
        until(lambda: len(follower.told) > 2, "sweeps")
        calls, told = shop.world.plane.calls["changed"], len(follower.told)
        until(lambda: len(follower.told) > told + 10, "ten sweeps")
        assert shop.world.plane.calls["changed"] - calls <= len(follower.told) - told + 1
