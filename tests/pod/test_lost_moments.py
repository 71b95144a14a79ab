"""A compacted log that loses its last moments: only what was lost is lost.

A store that is copied back, a server after a crash with lazy commits, a failover to an asynchronous standby.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod import backups
from tests.pod.board import Add
from tests.pod.world import KEY, World, declared, world_of
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.pod.pod import Pod

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
SPEC = declared(Add)
OTHER = declared(Add, version=2, migrations={(1, 2): lambda value: value})


@pytest.fixture(params=["memory", "sparse", "postgres", "nats"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A snapshot after each fold, by any pod."""
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    if request.param in ("postgres", "nats"):
        request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with world_of(request.param, RECONCILE_INTERVAL=3600.0) as made:
        yield made


@contextmanager
def moments() -> Iterator[None]:
    """What happens in less than ``COMPACT_MIN_AGE``."""
    with override_settings(VIA_STATE={**settings.VIA_STATE, "COMPACT_MIN_AGE": 3600}):
        yield


def look(world: World, *pods: Pod) -> None:
    """Read again, to an end."""

    async def ring(pod: Pod) -> None:
        for projector in pod.replicas.logs():
            projector.ring()
        await pod.replicas.settle()

    for pod in pods:
        world.run(ring(pod))


def append(world: World, pod: Pod, *numbers: int) -> None:
    for number in numbers:
        world.append(pod, SPEC, Add(number))


def test_every_pod_continues_with_what_is_left(world: World) -> None:
    pod, slow = world.start(), world.start()
    append(world, pod, 1, 2, 3, 4, 5)
    assert slow.read(KEY, SPEC) == [1, 2, 3, 4, 5]
    assert world.head().floor.offset > 0
    with moments():
        saved = world.run(backups.copy_of(world))
        append(world, pod, 6, 7, 8)
        world.run(backups.put_back(world, saved))
        look(world, pod, slow)
        newcomer = world.start()
        for one in (pod, slow, newcomer):
            assert one.read(KEY, SPEC) == [1, 2, 3, 4, 5]
            assert one.status(KEY, SPEC).halted is None
        append(world, newcomer, 9)
        look(world, pod, slow)
        for one in (pod, slow, world.start()):
            assert one.read(KEY, SPEC) == [1, 2, 3, 4, 5, 9]
        # The offsets of what was lost are given out again.
        append(world, newcomer, 10, 11, 12)
        assert world.start().read(KEY, SPEC) == [1, 2, 3, 4, 5, 9, 10, 11, 12]
    before = world.head().floor.offset
    append(world, newcomer, 13, 14, 15)
    look(world, pod, slow)
    assert world.head().floor.offset > before, "compaction continues"
    for one in (pod, slow, newcomer, world.start()):
        assert one.read(KEY, SPEC) == [1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15]


def test_again_and_again(world: World) -> None:
    pod = world.start()
    append(world, pod, 1, 2, 3)
    numbers = [1, 2, 3]
    for number in range(10, 40, 10):
        with moments():
            saved = world.run(backups.copy_of(world))
            append(world, pod, number, number + 1, number + 2)
            world.run(backups.put_back(world, saved))
        look(world, pod)
        append(world, pod, number + 5, number + 6)
        numbers += [number + 5, number + 6]
        assert world.start().read(KEY, SPEC) == pod.read(KEY, SPEC) == numbers


def test_a_pod_stores_no_snapshot_of_what_the_log_does_not_hold(world: World) -> None:
    pod = world.start()
    append(world, pod, 1, 2, 3)
    with moments():
        saved = world.run(backups.copy_of(world))
        pod.read(KEY, SPEC, at_least=pod.append(KEY, SPEC, [Add(4)])[-1])
        world.run(backups.put_back(world, saved))
        before = world.head()
        world.flush(pod)  # of a value that it has in memory
    stored = world.run(pod.snapshots.store.positions(KEY, before.position.epoch))
    assert max(one.offset for one in stored) <= before.position.offset
    look(world, pod)
    assert pod.read(KEY, SPEC) == [1, 2, 3]


def test_what_another_version_relies_on_stays_too(world: World) -> None:
    """Old and new code side by side, as in a rolling deploy."""
    old, new = world.start(), world.start()
    append(world, old, 1, 2, 3)
    assert new.read(KEY, OTHER) == [1, 2, 3]
    for number in (4, 5, 6):
        append(world, old, number)
        world.append(new, OTHER, Add(number * 10))
    numbers = [1, 2, 3, 4, 40, 5, 50, 6, 60]
    assert world.head().floor.offset > 0
    with moments():
        saved = world.run(backups.copy_of(world))
        for number in (7, 8):
            append(world, old, number)
            world.append(new, OTHER, Add(number * 10))
        world.run(backups.put_back(world, saved))
        look(world, old, new)
        for pod, spec in ((old, SPEC), (new, OTHER), (world.start(), SPEC), (world.start(), OTHER)):
            assert pod.read(KEY, spec) == numbers
            assert pod.status(KEY, spec).halted is None


def test_at_most_two_older_snapshots_are_kept(world: World) -> None:
    pod = world.start()
    append(world, pod, 1, 2, 3)
    with moments():
        append(world, pod, *range(4, 12))
    kept = world.run(pod.snapshots.store.load(KEY, world.head().position.epoch, older=True))
    assert [one.data for one in kept] == [
        b"[1,2,3,4,5,6,7,8,9,10,11]",
        b"[1,2,3]",
        b"[1,2]",
    ]
