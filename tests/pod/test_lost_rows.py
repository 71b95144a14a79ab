"""Rows of a log that are gone although nothing of ours discarded them: a TRUNCATE, a DELETE by hand, half a restore."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.pod import backups
from tests.pod.board import Add
from tests.pod.world import KEY, World, declared, world_of
from via_state.core.records import Batch, Position
from via_state.exceptions import KeyHalted, Stalled
from via_state.pod.pod import Pod

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
KEEPING = declared(Add, compact=False)
PLAIN = declared(Add, snapshot_interval=0)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Where offsets have no gaps."""
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    with world_of(request.param, RECONCILE_INTERVAL=3600.0) as made:
        yield made


def look(world: World, pod: Pod) -> None:
    """Read again, to an end."""

    async def ring() -> None:
        for projector in pod.replicas.logs():
            projector.ring()
        await pod.replicas.settle()

    world.run(ring())


def append(pod: Pod, *numbers: int) -> None:
    for number in numbers:
        pod.append(KEY, PLAIN, [Add(number)])


@pytest.mark.parametrize(("first", "last"), [(1, 2), (2, 3), (1, 4)], ids=["the beginning", "the middle", "all"])
def test_nothing_is_folded_over_a_hole_and_all_is_well_when_the_rows_are_back(
    world: World, first: int, last: int
) -> None:
    pod = world.start()
    append(pod, 1, 2, 3, 4)
    assert pod.read(KEY, PLAIN) == [1, 2, 3, 4]
    rows = world.run(backups.lose_rows(world, KEY, first, last))
    newcomer = world.start()
    if first == 1:
        with pytest.raises(KeyHalted, match=f"records up to offset {last} are missing"):
            newcomer.read(KEY, PLAIN)
    else:
        assert newcomer.read(KEY, PLAIN) == [1]
    halted = str(newcomer.status(KEY, PLAIN).halted)
    assert f"up to offset {last} are missing" in halted
    assert "put them back from a backup" in halted
    newcomer.append(KEY, PLAIN, [Add(5)], wait=False)
    look(world, newcomer)
    look(world, pod)
    assert newcomer.status(KEY, PLAIN).value == [1][: first - 1]
    holds_its_record = last < 4
    assert pod.read(KEY, PLAIN) == [1, 2, 3, 4, 5][: 4 + holds_its_record]
    assert (pod.status(KEY, PLAIN).halted is None) == holds_its_record
    world.run(backups.put_rows_back(world, KEY, rows))
    for one in (pod, newcomer):
        look(world, one)
        assert one.read(KEY, PLAIN) == [1, 2, 3, 4, 5]
        assert one.status(KEY, PLAIN).halted is None


def test_a_snapshot_from_after_the_hole_makes_it_good(world: World) -> None:
    pod = world.start()
    append(pod, 1, 2, 3)
    world.append(pod, KEEPING, Add(4))
    append(pod, 5)
    world.run(backups.lose_rows(world, KEY, 2, 3))
    newcomer = world.start()
    assert newcomer.read(KEY, KEEPING) == [1, 2, 3, 4, 5]
    assert newcomer.status(KEY, KEEPING).halted is None


@pytest.mark.parametrize("lost", [(2, 4), (4, 4)], ids=["with those before it", "alone"])
def test_a_snapshot_whose_own_record_is_missing_is_not_taken(world: World, lost: tuple[int, int]) -> None:
    pod = world.start()
    append(pod, 1, 2, 3)
    world.append(pod, KEEPING, Add(4))
    append(pod, 5)
    world.run(backups.lose_rows(world, KEY, *lost))
    newcomer = world.start()
    with pytest.raises(KeyHalted, match="records up to offset 4 are missing"):
        newcomer.read(KEY, KEEPING)


def test_a_read_that_brings_nothing_while_the_head_is_ahead_is_repeated_at_a_pause_and_shown(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the backplane, and whatever makes it do that."""
    pod = world.start()
    append(pod, 1, 2)
    read, empty = world.inner.read, []

    async def nothing(key: str, after: Position, limit: int) -> Batch:
        batch = await read(key, after, limit)
        empty.append(time.monotonic())
        return batch._replace(packs=[])  # type: ignore[no-any-return]

    monkeypatch.setattr(world.inner, "read", nothing)
    newcomer = world.start()
    with caplog.at_level(logging.WARNING, logger="via_state"), pytest.raises(Stalled, match="brings none after 0"):
        newcomer.read(KEY, PLAIN, timeout=0.3)
    assert len(empty) < 50, "it would be many hundreds without a pause"
    assert sum("brings none after 0" in line for line in caplog.messages) == 1
    monkeypatch.setattr(world.inner, "read", read)
    assert newcomer.read(KEY, PLAIN) == [1, 2]
