"""Snapshots, compaction and cold starts, over memory and PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod.numbers import (
    OLD,
    UNVERSIONED,
    Add,
    filled,
    long,
    metric,
)
from tests.pod.world import KEY, World, declared
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.bookkeeping.snapshots import SnapshotRequest
from via_state.exceptions import BackplaneUnavailable, KeyHalted


@pytest.fixture
def world(eager_world: World) -> World:
    return eager_world


pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


# Snapshots ------------------------------------------------------------------------------------------------


def test_a_start_continues_from_the_snapshot_where_the_beginning_is_gone(world: World) -> None:
    numbers = filled(world)
    pod = world.start()
    assert pod.read(KEY, OLD) == numbers
    world.append(pod, OLD, Add(99))
    assert pod.read(KEY, OLD) == [*numbers, 99]


def test_a_long_log_is_continued_from_its_snapshot_although_all_records_are_there(world: World) -> None:
    keeping = declared(Add, compact=False)
    pod = world.start()
    long(world, pod, keeping)
    world.stop(pod)
    assert world.head().floor.offset == 0
    fresh = world.start()
    assert len(fresh.read(KEY, keeping)) == 1501
    (projector,) = fresh.replicas.logs()
    assert projector.restoring.seeded is not None
    assert projector.restoring.seeded == world.head().position


def test_the_floor_trails_one_snapshot(world: World) -> None:
    pod = world.start()
    before = 0
    for number in range(4):
        world.append(pod, OLD, Add(number))
        assert world.head().floor.offset == before
        before = world.head().position.offset


def test_records_stay_until_a_snapshot_is_old_enough(world: World) -> None:
    with override_settings(VIA_STATE={**_settings(world), "COMPACT_MIN_AGE": 3600}):
        pod = world.start()
        for number in range(4):
            world.append(pod, OLD, Add(number))
    assert world.head().floor.offset == 0


def test_without_compaction_all_records_stay(world: World) -> None:
    spec = declared(Add, compact=False)
    pod = world.start()
    for number in range(4):
        world.append(pod, spec, Add(number))
    assert world.head().floor.offset == 0


def test_an_interval_of_0_makes_no_snapshots(world: World) -> None:
    spec = declared(Add, snapshot_interval=0)
    pod = world.start()
    for number in range(20):
        world.append(pod, spec, Add(number))
    world.stop(pod)
    assert world.run(world.start().snapshots.store.load(KEY, world.head().position.epoch)) == []


def test_a_clean_stop_leaves_a_snapshot_of_everything_folded(world: World) -> None:
    spec = declared(Add, snapshot_interval=1000)
    pod = world.start()
    world.append(pod, spec, Add(1), Add(2), Add(3))
    world.stop(pod)
    (snapshot,) = world.run(world.start().snapshots.store.load(KEY, world.head().position.epoch))
    assert snapshot.position == world.head().position
    assert snapshot.data == b"[1,2,3]"


def test_a_snapshot_never_goes_back(world: World) -> None:
    slow, fast = world.start(), world.start()
    world.append(fast, OLD, Add(0))
    world.append(fast, OLD, Add(1), Add(2))
    before = world.run(fast.snapshots.store.load(KEY, world.head().position.epoch))
    old = before[0].position._replace(offset=1)
    world.run(slow.snapshots.store.save([SnapshotRequest(KEY, OLD, [0], old)], "slow"))
    assert world.run(fast.snapshots.store.load(KEY, world.head().position.epoch)) == before


def test_one_pod_makes_the_snapshots_until_its_lease_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_port, "LEASE", 60.0)
    lease_owner, other = world.start(), world.start()
    world.append(lease_owner, OLD, Add(0))
    other.read(KEY, OLD)
    saved = metric("via_snapshot_saved_total")
    world.append(other, OLD, Add(1))
    assert metric("via_snapshot_saved_total") == saved
    lease_owner.drain()
    world.stop(lease_owner)  # gives its lease up
    world.append(other, OLD, Add(2))
    assert metric("via_snapshot_saved_total") > saved


# Faults of others that this design could share ---------------------------------------------------------------


def test_whether_a_prefix_is_gone_is_never_derived_from_process_memory(world: World) -> None:
    """After a restart, other code must not fold the tail alone: [1..11] must not become [9, 10, 11]."""
    filled(world)
    pod = world.start()  # knows nothing of the compactions before
    assert pod.read(KEY, OLD) == [0, 1, 2, 3, 4]
    world.append(pod, OLD, Add(5))
    other = world.start()
    with pytest.raises(KeyHalted, match="version=2"):
        other.read(KEY, UNVERSIONED)


def test_a_store_error_is_not_an_absent_snapshot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = filled(world)
    pod = world.start()
    load, failures = pod.snapshots.store.load, [1, 2]

    async def failing(key: str, epoch: str, **options: Any) -> Any:
        if failures:
            failures.pop()
            raise BackplaneUnavailable("injected")
        return await load(key, epoch, **options)

    monkeypatch.setattr(pod.snapshots.store, "load", failing)
    assert pod.read(KEY, OLD) == numbers
    world.append(pod, OLD, Add(99))
    assert world.restart(pod).read(KEY, OLD) == [*numbers, 99]


def test_a_store_error_does_not_make_a_start_fold_the_whole_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = declared(Add, compact=False)
    pod = world.start()
    long(world, pod, spec)
    long(world, pod, spec)
    world.stop(pod)
    pod = world.start()
    load, failures = pod.snapshots.store.load, [1, 2]

    async def failing(key: str, epoch: str, **options: Any) -> Any:
        if failures:
            failures.pop()
            raise BackplaneUnavailable("injected")
        return await load(key, epoch, **options)

    monkeypatch.setattr(pod.snapshots.store, "load", failing)
    assert len(pod.read(KEY, spec)) == 3002
    (projector,) = pod.replicas.logs()
    assert projector.restoring.seeded is not None


def test_while_snapshots_cannot_be_read_a_start_waits_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(world)
    pod = world.start()

    async def failing(key: str, epoch: str, **options: Any) -> Any:
        raise BackplaneUnavailable("the database is away")

    monkeypatch.setattr(pod.snapshots.store, "load", failing)
    with pytest.raises(BackplaneUnavailable, match="the database is away"):
        pod.read(KEY, OLD, timeout=0.3)


def test_what_snapshots_and_compactions_take_is_measured(world: World) -> None:
    measures = (
        "via_snapshot_seconds_count",
        "via_snapshot_bytes_sum",
        "via_compaction_seconds_count",
        "via_compacted_records_total",
    )
    before = [metric(name) for name in measures]
    pod = world.start()
    for number in range(5):
        world.append(pod, OLD, Add(number))
    made, size, compactions, records = (metric(name) - one for name, one in zip(measures, before, strict=True))
    assert made == 5
    assert size == sum(len(str([*range(number + 1)]).replace(" ", "")) for number in range(5))
    assert compactions >= 1
    assert records == 4
    same = metric("via_snapshot_compared_total", outcome="same")
    other = world.start()
    assert other.read(KEY, OLD) == [0, 1, 2, 3, 4]
    (projector,) = other.replicas.logs()
    request = SnapshotRequest(KEY, OLD, projector.read(), projector.position)
    (answer,) = world.run(other.snapshots.store.save([request], other.pod_id))
    projector.snapshots.snapshot_taken(request, answer)
    assert metric("via_snapshot_compared_total", outcome="same") == same + 1


# Folds that are not pure --------------------------------------------------------------------------------------


def test_two_pods_with_two_values_are_noticed_and_the_records_stay(world: World) -> None:
    impure = iter(range(1000))

    @dataclass(frozen=True)
    class Roll:
        def fold(self, value: list[int]) -> list[int]:
            return [*value, next(impure)]

    spec = declared(Roll, snapshot_interval=1)
    one, other = world.start(), world.start()
    divergences = metric("via_fold_divergence_total")
    compared = metric("via_snapshot_compared_total", outcome="different")
    world.append(one, spec, Roll())
    other.read(KEY, spec)
    world.flush(other)
    assert metric("via_fold_divergence_total") == divergences + 1
    assert metric("via_snapshot_compared_total", outcome="different") == compared + 1
    for _ in range(4):
        world.append(one, spec, Roll())
    assert world.head().floor.offset == 0
    assert "two values" in str(other.status(KEY, spec).diverged)


@dataclass(frozen=True)
class InPlace:
    """Changes what it is given. Folded twice on one object it would even give equal results."""

    def fold(self, value: list[int]) -> list[int]:
        value.append(len(value))
        return value


def test_verify_finds_a_fold_that_changes_its_argument(world: World) -> None:
    with override_settings(VIA_STATE={**_settings(world), "FOLD_VERIFY": True}):
        spec = declared(InPlace)
        pod = world.start()
        for count in range(1, 6):
            world.append(pod, spec, InPlace())
            assert pod.read(KEY, spec) == list(range(count)), "each event folds once"
        assert "InPlace.fold changed the value it was given" in str(pod.status(KEY, spec).diverged)
        assert world.head().floor.offset == 0


def test_verify_lets_pure_folds_compact(world: World) -> None:
    with override_settings(VIA_STATE={**_settings(world), "FOLD_VERIFY": True}):
        filled(world)


def test_verify_finds_a_reader_that_changes_the_value(world: World) -> None:
    with override_settings(VIA_STATE={**_settings(world), "FOLD_VERIFY": True}):
        pod = world.start()
        world.append(pod, OLD, Add(1))
        pod.read(KEY, OLD).append("mine")
        assert pod.read(KEY, OLD) == [1]
        world.append(pod, OLD, Add(2))
        assert pod.read(KEY, OLD) == [1, 2]
        assert "a reader changed" in str(pod.status(KEY, OLD).diverged)


def _settings(world: World) -> dict[str, Any]:
    return {
        "DATABASE": POSTGRES_ALIAS,
        "PREFIX": world.prefix,
        "SNAPSHOT_INTERVAL": 1,
        "COMPACT_MIN_AGE": 0,
    }
