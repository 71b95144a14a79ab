"""What a process continues from: after a compaction, with other code, in another history."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod.numbers import (
    MORE,
    NEW,
    OLD,
    REFOLDED,
    UNBRIDGED,
    UNVERSIONED,
    Add,
    Add2,
    Add3,
    Clear,
    filled,
    long,
    metric,
)
from tests.pod.world import KEY, World, declared, world_of
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.bookkeeping.snapshots import SnapshotRequest
from via_state.exceptions import KeyHalted
from via_state.pod.reading.projector import Projector


@pytest.fixture
def world(eager_world: World) -> World:
    return eager_world


pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> set[Projector[Any]]:
    """Projectors that hear no ring: slow pods."""
    found: set[Projector[Any]] = set()
    ring = Projector.ring
    monkeypatch.setattr(Projector, "ring", lambda self: None if self in found else ring(self))
    return found


def test_a_slow_pod_that_a_compaction_overtakes_continues_from_the_snapshot(
    world: World, deaf: set[Projector[Any]]
) -> None:
    slow, fast = world.start(), world.start()
    world.append(slow, OLD, Add(0))
    (projector,) = slow.replicas.logs()
    deaf.add(projector)
    slow.drain()  # of what it heard before
    for number in range(1, 6):
        world.append(fast, OLD, Add(number))
    assert world.head().floor.offset > 1
    assert slow.read(KEY, OLD) == [0]
    reseeds = metric("via_events_compaction_reseed_total")
    deaf.clear()
    world.run(_ring(projector))
    slow.drain()
    assert slow.read(KEY, OLD) == [0, 1, 2, 3, 4, 5]
    assert metric("via_events_compaction_reseed_total") == reseeds + 1


async def _ring(projector: Any) -> None:
    projector.ring()


@pytest.fixture
def sparse(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Between two offsets there are gaps."""
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    with world_of("sparse") as made:
        yield made


def test_a_gap_between_offsets_is_never_taken_for_a_lost_prefix(sparse: World) -> None:
    """Nor does compaction make it one: 12 of 13 records, and a halt, where nothing was lost."""
    pod = sparse.start()
    for number in range(13):
        sparse.append(pod, OLD, Add(number))
    assert sparse.head().floor.offset > 0
    assert sparse.start().read(KEY, OLD) == list(range(13))
    assert sparse.restart(pod).read(KEY, OLD) == list(range(13))
    assert metric("via_halted", reason="gap") == 0


def test_ordinary_gaps_do_not_make_a_slow_pod_miss_a_compaction(sparse: World, deaf: set[Projector[Any]]) -> None:
    slow, fast = sparse.start(), sparse.start()
    for number in range(5):
        sparse.append(slow, OLD, Add(number))  # it has met gaps by now
    (projector,) = slow.replicas.logs()
    deaf.add(projector)
    for number in range(5, 10):
        sparse.append(fast, OLD, Add(number))
    assert sparse.head().floor.offset > projector.position.offset
    reseeds = metric("via_events_compaction_reseed_total")
    deaf.clear()
    sparse.run(_ring(projector))
    slow.drain()
    assert slow.read(KEY, OLD) == list(range(10))
    assert metric("via_events_compaction_reseed_total") == reseeds + 1


def test_migrations_belong_to_their_key(world: World) -> None:
    """Another log of the same types has none, and does not take this one's."""
    filled(world)
    assert NEW.snapshots is not None
    assert NEW.snapshots.migrations
    other = declared(Add2, version=2)
    with pytest.raises(KeyHalted, match="is not registered"):
        world.start().read(KEY, other)


def test_a_prefix_that_no_snapshot_covers_halts_and_the_last_value_stays(
    world: World, deaf: set[Projector[Any]]
) -> None:
    spec = declared(Add, snapshot_interval=0)
    pod = world.start()
    world.append(pod, spec, Add(0), Add(1))
    (projector,) = pod.replicas.logs()
    deaf.add(projector)
    pod.drain()  # of what it heard before
    other = world.start()
    world.append(other, spec, *map(Add, range(2, 6)))
    world.compact(4)
    halts = metric("via_events_compaction_gap_halt_total")
    deaf.clear()
    world.run(_ring(projector))
    pod.drain()
    assert pod.read(KEY, spec) == [0, 1]
    assert "no snapshot covers" in str(pod.status(KEY, spec).halted)
    assert metric("via_events_compaction_gap_halt_total") == halts + 1
    assert metric("via_halted", reason="gap") == 1
    with pytest.raises(KeyHalted, match="no snapshot covers"):
        world.start().read(KEY, spec)


def test_a_halted_key_resumes_when_its_cause_is_gone(world: World) -> None:
    filled(world)
    pod = world.start()
    with pytest.raises(KeyHalted, match=r"migration \(1, 2\) is not registered"):
        pod.read(KEY, UNBRIDGED)
    # A pod of the code that has the migration makes the first snapshot of this version.
    world.start().read(KEY, NEW)
    world.run(_ring(pod.replicas.logs()[0]))
    pod.drain()
    assert pod.read(KEY, UNBRIDGED) == {"numbers": [0, 1, 2, 3, 4]}


def test_a_recreated_log_is_not_seeded_with_the_value_of_the_old_one(world: World) -> None:
    """The snapshot of an epoch belongs to that epoch, however far it reaches."""
    filled(world, count=8)
    world.run(world.plane.drop(KEY))
    pod = world.start()
    world.append(pod, OLD, Add(100))
    world.stop(pod)
    pod = world.start()
    assert pod.read(KEY, OLD) == [100]
    world.append(pod, OLD, Add(101))
    assert world.restart(pod).read(KEY, OLD) == [100, 101]


def test_an_avoidable_halt_does_not_happen(world: World) -> None:
    """Snapshots alone are no reason to halt other code: where no record is gone, it folds the log."""
    pod = world.start()
    world.append(pod, declared(Add, compact=False), *map(Add, range(5)))
    assert world.start().read(KEY, UNVERSIONED) == {"numbers": [0, 1, 2, 3, 4]}


def test_changed_fold_logic_is_noticed(world: World) -> None:
    spec = declared(Add, compact=False)
    pod = world.start()
    long(world, pod, spec)
    world.stop(pod)
    assert world.start().read(KEY, declared(Add3, compact=False))[0] == 1500, "not the snapshot of the other fold"


def test_changed_fold_logic_halts_where_the_prefix_is_gone(world: World) -> None:
    filled(world)
    with pytest.raises(KeyHalted, match="the fold of Add changed"):
        world.start().read(KEY, REFOLDED)


def test_a_new_event_continues_from_the_snapshots_of_the_code_before(world: World) -> None:
    numbers = filled(world)
    pod = world.start()
    assert pod.read(KEY, MORE) == numbers
    world.append(pod, MORE, Clear(), Add(7))
    assert world.restart(pod).read(KEY, MORE) == [7]


def test_a_migration_runs_once_and_its_result_is_what_every_pod_continues_from(world: World) -> None:
    filled(world)
    calls = []

    def migrate(old: list[int]) -> dict[str, list[int]]:
        calls.append(old)
        return {"numbers": old}

    spec = declared(Add2, version=2, migrations={(1, 2): migrate})
    pods = [world.start() for _ in range(3)]
    assert all(pod.read(KEY, spec) == {"numbers": [0, 1, 2, 3, 4]} for pod in pods)
    assert len(calls) == 1


def test_migrations_chain(world: World) -> None:
    filled(world)
    spec = declared(
        Add2,
        version=3,
        migrations={(1, 2): lambda old: {"n": old}, (2, 3): lambda old: {"numbers": old["n"]}},
    )
    assert world.start().read(KEY, spec) == {"numbers": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("migrate", [lambda old: old, lambda old: {"numbers": ["x"]}, lambda old: 1 / 0])
def test_a_migration_that_fails_or_gives_another_type_halts_the_key(world: World, migrate: Any) -> None:
    filled(world)
    with pytest.raises(KeyHalted, match="the migration from version 1 to 2 failed"):
        world.start().read(KEY, declared(Add2, version=2, migrations={(1, 2): migrate}))
    assert world.start().read(KEY, OLD) == [0, 1, 2, 3, 4]


def test_a_rolling_deploy_and_its_rollback_both_find_their_base(world: World) -> None:
    numbers = filled(world)
    old, new = world.start(), world.start()
    assert old.read(KEY, OLD) == numbers
    assert new.read(KEY, NEW) == {"numbers": numbers}
    for number in range(10, 20):
        world.append(old if number % 2 else new, OLD if number % 2 else NEW, (Add if number % 2 else Add2)(number))
        numbers.append(number)
        for pod in (old, new):
            pod.drain()
            world.flush(pod)
    assert new.read(KEY, NEW) == {"numbers": numbers}
    world.stop(new)
    old = world.restart(old)
    assert old.read(KEY, OLD) == numbers
    assert world.start().read(KEY, NEW) == {"numbers": numbers}


def test_other_code_that_folds_the_log_keeps_its_records(world: World) -> None:
    pod = world.start()
    with override_settings(VIA_STATE={**_settings(world), "COMPACT_MIN_AGE": 3600}):
        long(world, pod, OLD)
    other = world.start()
    refolded = declared(Add3, snapshot_interval=10_000)
    other.read(KEY, refolded)
    world.kill(other)
    for number in range(5):
        world.append(pod, OLD, Add(number))
    assert world.head().floor.offset == 0, "the other code said that it needs them all"
    assert world.start().read(KEY, refolded)[-1] == 0


def test_a_projector_that_skipped_an_unknown_event_makes_no_snapshot(world: World) -> None:
    pod, other = world.start(), world.start()
    world.append(pod, MORE, Add(1), Clear(), Add(2))
    before = world.run(pod.snapshots.store.load(KEY, world.head().position.epoch))
    world.kill(pod)
    assert other.read(KEY, OLD) == [1, 2]
    world.append(other, OLD, Add(3))
    world.stop(other)
    assert world.run(world.start().snapshots.store.load(KEY, world.head().position.epoch)) == before


def test_what_json_does_not_carry_is_no_snapshot_and_nothing_is_discarded(world: World) -> None:
    @dataclass(frozen=True)
    class Ratio:
        number: float

        def fold(self, value: list[float]) -> list[float]:
            return [*value, math.nan]

    spec = declared(Ratio)
    pod = world.start()
    refused = metric("via_snapshot_refused_total")
    for _ in range(5):
        world.append(pod, spec, Ratio(1.0))
    assert metric("via_snapshot_refused_total") > refused
    assert world.head().floor.offset == 0


def test_a_rewritten_history_does_not_continue_from_a_snapshot_of_the_other_one(world: World) -> None:
    """A snapshot with the right epoch, whose last record is not the log's."""
    spec = declared(Add, compact=False)
    pod = world.start()
    long(world, pod, spec)
    (true,) = world.run(pod.snapshots.store.load(KEY, world.head().position.epoch))
    world.kill(pod)
    false = true.position._replace(record_id="f" * 32 + "-0")
    writer = world.start()
    world.run(
        writer.snapshots.store.save(
            [SnapshotRequest(KEY, spec, [-1], false, disproven=frozenset([true.position]))], "another history"
        )
    )
    resets = metric("via_events_epoch_reset_total")
    fresh = world.start()
    assert fresh.read(KEY, spec) == list(range(1501))
    assert metric("via_events_epoch_reset_total") == resets + 1
    world.append(fresh, spec, Add(1501))
    (after,) = world.run(fresh.snapshots.store.load(KEY, world.head().position.epoch))
    assert after.position == world.head().position


def _settings(world: World) -> dict[str, Any]:
    return {
        "DATABASE": POSTGRES_ALIAS,
        "PREFIX": world.prefix,
        "SNAPSHOT_INTERVAL": 1,
        "COMPACT_MIN_AGE": 0,
    }
