"""Whatever happens to connections, pods and the store: tabs never go back, and at the end each shows the fold of the log."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial

import pytest
from django.test import Client

from tests.live.stage import Add, Say, Stage
from tests.pod import backups
from tests.pod.world import STORED, World, kind_of, world_of
from via_state.conf import DEFAULTS
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]

TABS = 50
#: In memory; and on a server, where ``VIA_TEST_STEPS`` does not say more.
STEPS, STEPS_SERVED = 100, int(os.environ.get("VIA_TEST_STEPS", "40"))


class History:
    """Some pods over one store, tabs that are connected to them, and what happens."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.cuts = self.restores = 0
        self.pods = [world.start() for _ in range(3)]
        self.back_up()
        self.tabs: list[LiveTab] = []
        self.asleep: set[LiveTab] = set()
        self.rooms = (1, 2)

    def open(self) -> None:
        for number in range(TABS):
            path = "/counter/" if number % 2 else f"/room/{self.random.choice(self.rooms)}/"
            tab = LiveTab(Client(), path, self.random.choice(self.pods))
            with use_pod(tab.pod):
                tab.open()
            self.tabs.append(tab)

    def step(self) -> None:
        happens = self.random.choices(
            [
                self.append,
                self.say,
                self.cut,
                self.move,
                self.sleep,
                self.wake,
                self.kill,
                self.lose,
                self.back_up,
                self.restore,
            ],
            [30, 20, 15, 10, 8, 10, 4, 3, 4, 2],
        )[0]
        happens()

    def any_pod(self) -> Pod:
        return self.random.choice(self.pods)

    def any_tab(self) -> LiveTab:
        return self.random.choice(self.tabs)

    def append(self) -> None:
        Stage.total.using(self.any_pod()).append_many([Add(self.random.randint(1, 9))] * self.random.randint(1, 3))

    def say(self) -> None:
        room = Stage.room.at(room=self.random.choice(self.rooms)).using(self.any_pod())
        room.append(Say(f"line {self.random.randint(1, 999)}"))

    def cut(self) -> None:
        for _ in range(5):
            if (tab := self.any_tab()) not in self.asleep:
                tab.back()
                self.cuts += 1

    def move(self) -> None:
        if (tab := self.any_tab()) not in self.asleep:
            tab.on(self.any_pod())

    def sleep(self) -> None:
        tab = self.any_tab()
        tab.sleep()
        self.asleep.add(tab)

    def wake(self) -> None:
        for tab in list(self.asleep)[:3]:
            self.asleep.discard(tab)
            tab.on(self.any_pod())

    def kill(self) -> None:
        """A process ends without a word; its tabs come back to others."""
        dead = self.pods.pop(self.random.randrange(len(self.pods)))
        self.world.kill(dead)
        self.pods.append(self.world.start())
        for tab in self.tabs:
            if tab.pod is dead:
                tab.drop()
                tab.pod = self.any_pod()
                if tab not in self.asleep:
                    tab.connect()

    def lose(self) -> None:
        """The store is put back to where a log did not exist."""
        key = self.random.choice([Stage.total.key, *(Stage.room.at(room=one).key for one in self.rooms)])
        pod = self.any_pod()
        pod.thread.call(pod.backplane.drop(key))

    def back_up(self) -> None:
        self.backup = self.world.run(backups.copy_of(self.world))

    def restore(self) -> None:
        """Everything is stopped, and begins again from an older copy: under tabs that sleep, and under those that wait."""
        for pod in self.pods:
            self.world.stop(pod)
        self.world.run(backups.put_back(self.world, self.backup))
        self.pods = [self.world.start() for _ in range(3)]
        for tab in self.tabs:
            tab.drop()
            tab.pod = self.any_pod()
            if tab not in self.asleep:
                tab.connect()
        self.restores += 1

    def end(self) -> None:
        while self.asleep:
            self.wake()

    def expected(self, tab: LiveTab) -> str:
        if tab.path == "/counter/":
            return str(Stage.total.using(self.pods[0]).read())
        room = int(tab.path.split("/")[2])
        return "".join(Stage.room.at(room=room).using(self.pods[0]).read())

    def shown(self, tab: LiveTab) -> str:
        return tab.text("#total") if tab.path == "/counter/" else tab.text("#room ol").replace(" line", "line")

    def shows(self, tab: LiveTab, wanted: str) -> bool:
        return self.shown(tab) == wanted

    def close(self) -> None:
        for tab in self.tabs:
            tab.drop()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(kind_of(request), SNAPSHOT_INTERVAL=20) as world:
        yield world


@pytest.mark.parametrize(
    ("world", "seed"),
    [
        ("memory", 1),
        ("memory", 2),
        pytest.param("postgres", 3, marks=STORED),
        pytest.param("nats", 3, marks=STORED),
    ],
    indirect=["world"],
)
def test_at_the_end_every_tab_shows_the_fold_and_none_went_back(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LiveTab` refuses every frame that is older than what it shows, unless the history was said to be another one."""
    monkeypatch.setitem(DEFAULTS, "LIVE_FRAMES", 1000)
    history = History(world, seed)
    wanted = STEPS if world.kind == "memory" else STEPS_SERVED
    try:
        history.open()
        steps = 0
        while steps < wanted or history.cuts < wanted:
            history.step()
            steps += 1
        history.sleep()
        history.restore()
        history.say()
        history.end()
        for pod in history.pods:
            pod.drain()
        for tab in history.tabs:
            shown = history.expected(tab)
            tab.until(partial(history.shows, tab, shown), lambda: "That is not the fold.")
        assert not any(tab.refused for tab in history.tabs)
    finally:
        history.close()
