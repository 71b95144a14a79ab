"""The server of a carrier goes away while everybody speaks: broadcasts resume by themselves, and what was lost is counted."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from django.db import connections

from testproject.servers.nats import Nats
from testproject.servers.proxy import Proxy
from testproject.servers.redis import Redis
from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS, server_folder
from tests.live.world import CORE, PUBSUB, World, world_of
from tests.pod.board import Add, Board
from via_state import telemetry
from via_state.exceptions import BroadcastFailed, OutcomeUnknown, Transient
from via_state.live.announcing.broadcasts import broadcast_notify
from via_state.pod.default import using_pod

LAST = 10**6


@contextmanager
def own_redis() -> Iterator[Redis]:
    with server_folder() as folder:
        server = Redis(folder / "redis")
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Talk:
    """Broadcasts and appends of the first process, one after the other, whatever happens to the server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tab = world.there.tab()
        self.said: list[int] = []
        self.appended = self.maybe = 0
        self.unexpected: list[BaseException] = []
        self.lost = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def _count(self, event: telemetry.BroadcastsLost) -> None:
        self.lost += event.count

    def __enter__(self) -> Talk:
        telemetry.BroadcastsLost.subscribe(self._count)
        self._thread.start()
        self.waits_for_more("the first broadcast")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        telemetry.BroadcastsLost.unsubscribe(self._count)

    def _stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _talk(self) -> None:
        with using_pod(self.world.pods[0]):
            for number in itertools.count():
                if self._end.wait(0.01):
                    return
                try:
                    with suppress(BroadcastFailed):
                        broadcast_notify(str(number))
                    self.said.append(number)
                    self._append()
                except BaseException as error:
                    self.unexpected.append(error)
                    return

    def _append(self) -> None:
        try:
            Board.numbers.using(self.world.pods[0]).append(Add(1))
            self.appended += 1
        except OutcomeUnknown:
            self.maybe += 1
        except Transient:
            pass

    def says_more(self) -> None:
        """Until it has tried to say something, with the server as it is now."""
        said = len(self.said)
        wait_until(lambda: len(self.said) > said + 1, "another broadcast")

    def waits_for_more(self, what: str) -> float:
        """Until a broadcast arrives that is said from now on, and for how long that took."""
        start, now = time.monotonic(), len(self.said)
        wait_until(lambda: any(int(text) >= now for text in self.tab.texts[-20:]), what)
        return time.monotonic() - start

    def ends_well(self) -> None:
        """What was said last arrives; what came, and what was lost, is all that was said; state is the same everywhere."""
        self._stop()
        assert not self.unexpected
        last = itertools.count(LAST)

        def said_last() -> bool:  # again where that failed: on a connection that broke while it was idle
            with using_pod(self.world.pods[0]), suppress(BroadcastFailed):
                broadcast_notify(str(next(last)))
            return any(int(text) >= LAST for text in self.tab.texts)

        wait_until(said_last, "the last broadcast")
        wait_until(self._all_is_known, "all that did not arrive is counted as lost")
        heard = self._heard()
        assert len(heard) == len(set(heard)), "nothing twice"

        # An append whose outcome is not known may still be on its way.
        wait_until(lambda: len({tuple(one) for one in self._read()}) == 1, "the same value on both pods")
        assert self.appended <= len(self._read()[0]) <= self.appended + self.maybe

    def _read(self) -> list[list[int]]:
        for pod in self.world.pods:
            pod.drain()
        return [Board.numbers.using(pod).read() for pod in self.world.pods]

    def _heard(self) -> list[int]:
        return [number for number in map(int, self.tab.texts) if number < LAST]

    def _all_is_known(self) -> bool:
        heard = self._heard()
        return len(heard) + self.lost >= sum(number >= heard[0] for number in self.said)


@pytest.mark.parametrize("kind", [CORE, PUBSUB])
def test_redis_is_killed_and_comes_back_empty(kind: str) -> None:
    with own_redis() as redis, world_of(kind, redis.url) as world, Talk(world) as talk:
        for _ in range(2):
            redis.process.kill()
            talk.says_more()
            redis.start()
            talk.waits_for_more("a broadcast after Redis came back")
        talk.ends_well()


def test_somebody_deletes_the_membership() -> None:
    with own_redis() as redis, world_of(CORE, redis.url) as world, Talk(world) as talk:
        world.forget_members()
        talk.waits_for_more("a broadcast after the membership was said again")
        talk.ends_well()


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
@pytest.mark.parametrize("harm", ["sever", "cut"])
def test_connections_to_postgresql_break(
    postgres_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", str(postgres_proxy.port))
    with world_of("postgres") as world, Talk(world) as talk:
        _harm(postgres_proxy, harm, talk)
        talk.ends_well()


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
def test_nats_restarts(postgres: object) -> None:
    with server_folder() as folder:
        server = Nats(folder / "nats")
        server.start()
        try:
            with world_of("nats", server.url) as world, Talk(world) as talk:
                server.restart()
                talk.waits_for_more("a broadcast after NATS came back")
                talk.ends_well()
        finally:
            server.stop()


def _harm(proxy: Proxy, harm: str, talk: Talk) -> None:
    if harm == "sever":
        proxy.sever()
    else:
        proxy.cut()
        talk.says_more()
        proxy.restore()
    talk.waits_for_more("a broadcast after the connections were made again")
