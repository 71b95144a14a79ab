"""When anything may have moved, as after a restart of the server, a pod asks for many keys at once, and reads what moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from testproject.servers.waiting import wait_until
from tests.faults import Fault
from tests.pod.board import Add, Board
from tests.pod.world import EVERY, World, kind_of, world_of
from via_state.pod.pod import Pod
from via_state.pod.reading import replicas

ROOM, FLAG = Board.room.definition.spec(), Board.flag.definition.spec()
MANY = 60


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Its pods hear no doorbell, and sweep when a test says so."""
    with world_of(kind_of(request), RECONCILE_INTERVAL=3600.0, SNAPSHOT_INTERVAL=0) as made:
        made.plane.deaf = True
        yield made


def room(number: int) -> str:
    return f"tests.room.{number}"


def flag(number: int) -> str:
    return f"tests.flag.{number}"


async def load(pod: Pod) -> None:
    for number in range(MANY):
        await pod.aread(room(number), ROOM)
        await pod.aget(flag(number), FLAG)


def sweep_as_after_a_restart(pod: Pod) -> None:
    """The cursor proves nothing any more."""
    following: Any = pod.replicas._following
    told: list[object] = []
    moved = pod.replicas.moved

    async def noted(changes: Any, mark: object) -> None:
        await moved(changes, mark)
        told.append(changes.everything)

    pod.replicas.moved = noted  # type: ignore[method-assign]
    pod.reconciler._cursor = "of another server"
    pod.thread.soon(following.look_at_everything)
    wait_until(lambda: bool(told), "the sweep")
    pod.replicas.moved = moved  # type: ignore[method-assign]
    assert told[0]
    pod.thread.call(pod.replicas.settle())


@pytest.mark.parametrize("at_once", [1000, 7])
def test_only_what_moved_is_read(world: World, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "ASKED_AT_ONCE", at_once)
    pod, other = world.start(), world.start()
    other.append(room(1), ROOM, [Add(1)])
    other.set(flag(1), FLAG, True)
    world.run(load(pod))
    sweep_as_after_a_restart(pod)
    other.append(room(1), ROOM, [Add(2)])
    other.append(room(2), ROOM, [Add(3)])
    other.set(flag(1), FLAG, False)
    other.set(flag(2), FLAG, True)
    before = dict(world.plane.calls)
    sweep_as_after_a_restart(pod)
    calls = {verb: number - before.get(verb, 0) for verb, number in world.plane.calls.items()}
    assert (calls["read"], calls["load_many"]) == (2, 2)
    assert calls["heads"] == calls["revisions"] == -(-MANY // at_once)
    assert [pod.read(room(number), ROOM) for number in (1, 2, 3)] == [[1, 2], [3], []]
    assert [pod.get(flag(number), FLAG) for number in (1, 2, 3)] == [False, True, False]


def test_what_all_moved_is_read_in_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "RUNG_AT_ONCE", 5)
    pod, other = world.start(), world.start()
    world.run(load(pod))
    for number in range(MANY):
        other.append(room(number), ROOM, [Add(number)], wait=False)
    reading: list[int] = []
    read = world.plane.read

    async def counted(*args: Any) -> Any:
        reading.append(sum(one.task is not None for one in pod.replicas.logs()))
        return await read(*args)

    world.plane.read = counted  # type: ignore[assignment, method-assign]
    sweep_as_after_a_restart(pod)
    assert len(reading) == MANY
    assert max(reading) <= 5
    assert [pod.read(room(number), ROOM) for number in range(MANY)] == [[number] for number in range(MANY)]


def test_an_answer_that_fails_is_asked_for_again(world: World) -> None:
    pod, other = world.start(), world.start()
    world.run(load(pod))
    other.append(room(1), ROOM, [Add(1)])
    world.plane.fail("heads", Fault.BEFORE, Fault.BEFORE)
    sweep_as_after_a_restart(pod)
    assert pod.read(room(1), ROOM) == [1]
