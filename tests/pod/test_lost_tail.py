"""A server that comes back without its last writes, which doorbells had brought to the pods already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.pod import backups
from tests.pod.board import Add, Board
from tests.pod.world import World, world_of
from via_state.core.records import Changes, Position
from via_state.pod.pod import Pod
from via_state.pod.reading.reconciler import Following

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


@pytest.fixture(params=["memory", "postgres", "nats"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Its pods sweep when a test says so."""
    if request.param != "memory":
        request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with world_of(request.param, RECONCILE_INTERVAL=3600.0, SNAPSHOT_INTERVAL=1000) as made:
        yield made


class Witness:
    """Counts the sweeps of a pod."""

    name = "The witness"

    def __init__(self) -> None:
        self.sweeps = 0

    def rang(self, key: str) -> None:
        """It watches no key."""

    def has(self, key: str, position: Position) -> bool:
        return False

    def mark(self) -> object:
        return None

    async def moved(self, changes: Changes, mark: object) -> None:
        self.sweeps += 1


def sweep(pod: Pod) -> None:
    """One that begins now, to its end."""
    witness = Witness()

    async def follow() -> Following:
        return pod.reconciler.follow(witness)

    async def rest() -> None:
        while pod.replicas._following.flight.task is not None:
            await asyncio.wait([pod.replicas._following.flight.task])

    following = pod.thread.call(follow())
    for _ in range(2):  # one may have been under way
        before = witness.sweeps
        pod.thread.soon(pod.reconciler.look)
        wait_until(lambda seen=before: witness.sweeps > seen, "a sweep")  # type: ignore[misc]
    pod.thread.call(rest())
    pod.thread.call(following.close())


def test_a_log_that_lost_what_came_since_the_last_sweep(world: World) -> None:
    """It is back where that sweep saw it, so that nothing has moved since."""
    pod = world.start()
    log = Board.numbers.using(pod)
    log.read(at_least=log.append(Add(1)))
    sweep(pod)
    saved = world.run(backups.copy_of(world))
    assert log.read(at_least=log.append(Add(2))) == [1, 2]
    world.run(backups.put_back(world, saved))
    sweep(pod)
    wait_until(lambda: log.read() == [1], "the value of what is left")


def test_a_cell_that_lost_what_came_since_the_last_sweep() -> None:
    with world_of("memory", RECONCILE_INTERVAL=3600.0) as world:
        pod = world.start()
        hits = Board.hits.using(pod)
        hits.set(1)
        sweep(pod)
        saved = dict(world.inner._cells)
        hits.set(2)
        world.inner._cells = saved
        del world.inner._moves["cell", Board.hits.key]
        sweep(pod)
        wait_until(lambda: hits.read() == 1, "the value of what is left")


def test_what_stays_is_not_read_again(world: World) -> None:
    world.plane.deaf = True
    pod = world.start()
    log = Board.numbers.using(pod)
    for number in (1, 2):
        log.read(at_least=log.append(Add(number)))
        sweep(pod)
        world.run(pod.replicas.settle())
        reads = world.plane.calls["read"]
        sweep(pod)
        assert world.plane.calls["read"] == reads
