"""Which snapshot is continued from, by which code, and why not from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from via_state.core.manifest import Manifest, Reading
from via_state.core.records import Position
from via_state.core.snapshots import (
    NoRestorePoint,
    RestorePoint,
    Snapshot,
    SnapshotSpec,
    choose_restore_point,
    migration_path,
)
from via_state.core.values import ValueCodec

HEAD = Position("e", 9, "r9")
ONE = Manifest(1, "value", "initial", {"A": "a"})
LONGER = Manifest(1, "value", "initial", {"A": "a", "B": "b"})
REFOLDED = Manifest(1, "value", "initial", {"A": "x"})
TWO = Manifest(2, "value", "initial", {"A": "a"})


def spec(manifest: Manifest = ONE, **migrations: Callable[[Any], Any]) -> SnapshotSpec[list[int]]:
    """``_1_2``: the migration from version 1 to 2."""
    steps = {(int(name[1]), int(name[3])): step for name, step in migrations.items()}
    return SnapshotSpec(ValueCodec(list[int]), manifest, steps)


def at(offset: int, data: bytes = b"[1]", manifest: Manifest = ONE, epoch: str = "e") -> Snapshot:
    return Snapshot(Position(epoch, offset, f"r{offset}"), manifest, data, "digest")


def chosen(
    wanted: SnapshotSpec[list[int]], *snapshots: Snapshot, floor: int = 0, disproven: tuple[Position, ...] = ()
) -> RestorePoint | NoRestorePoint | None:
    return choose_restore_point(wanted, snapshots, head=HEAD, floor=floor, disproven=disproven)


def test_the_newest_snapshot_that_fits_the_log_is_continued_from() -> None:
    found = chosen(spec(), at(2), at(5, b"[1, 2]"), at(12), at(7, epoch="other"))
    assert found == RestorePoint([1, 2], Position("e", 5, "r5"), migrated=False)


def test_what_is_disproven_or_before_the_floor_does_not_fit() -> None:
    assert chosen(spec(), at(2), at(5), floor=3, disproven=(at(5).position,)) is None


def test_code_that_knows_more_events_continues_without_a_migration() -> None:
    found = chosen(spec(LONGER), at(5), floor=3)
    assert isinstance(found, RestorePoint)
    assert not found.migrated


def test_a_snapshot_that_does_not_decode_is_said_and_the_older_one_taken() -> None:
    assert chosen(spec(), at(2), at(5, b"nonsense")) == RestorePoint([1], at(2).position, migrated=False)
    found = chosen(spec(), at(5, b"nonsense"))
    assert isinstance(found, NoRestorePoint)
    assert found.why.startswith("the snapshot at offset 5 does not decode: ")


def test_the_value_of_other_code_counts_only_where_the_log_tells_less() -> None:
    double = spec(TWO, _1_2=lambda numbers: [*numbers, 2])
    assert chosen(double, at(5)) is None, "the log has all records: it is folded again"
    assert chosen(double, at(5), floor=3) == RestorePoint([1, 2], at(5).position, migrated=True)


def test_of_several_snapshots_the_codes_own_is_taken_before_that_of_other_code() -> None:
    own = at(4, b"[4]", TWO)
    found = chosen(spec(TWO, _1_2=lambda numbers: numbers), at(5), own, floor=3)
    assert found == RestorePoint([4], own.position, migrated=False)


def test_where_the_codes_own_snapshot_does_not_decode_that_of_other_code_is_migrated() -> None:
    found = chosen(spec(TWO, _1_2=lambda numbers: [*numbers, 2]), at(5, b"nonsense", TWO), at(4), floor=3)
    assert found == RestorePoint([1, 2], at(4).position, migrated=True)


def test_what_keeps_the_code_from_continuing_is_named() -> None:
    unbumped = chosen(spec(REFOLDED), at(5), floor=3)
    assert isinstance(unbumped, NoRestorePoint)
    assert "declare version=2 and register the migration (1, 2)" in unbumped.why
    assert "the fold of A changed since the snapshot was made" in unbumped.why
    unbridged = chosen(spec(TWO), at(5), floor=3)
    assert isinstance(unbridged, NoRestorePoint)
    assert unbridged.why.startswith("the migration (1, 2) is not registered")


def test_code_that_only_reads_events_otherwise_takes_the_value_as_it_is() -> None:
    old, new = (
        Manifest(1, "value", "initial", {"A": "a"}, (), {"A": Reading("rules", {"number": kind}, ["number"])})
        for kind in ("int", "str")
    )
    assert chosen(spec(new), at(5, manifest=old)) is None
    assert chosen(spec(new), at(5, manifest=old), floor=3) == RestorePoint([1], at(5).position, migrated=True)


@pytest.mark.parametrize("fault", [lambda numbers: 1 / 0, lambda numbers: "no list", lambda numbers: ["x"]])
def test_a_migration_that_fails_or_gives_another_type_is_no_restore_point(fault: Callable[[Any], Any]) -> None:
    found = chosen(spec(TWO, _1_2=fault), at(5), floor=3)
    assert isinstance(found, NoRestorePoint)
    assert found.why.startswith("the migration from version 1 to 2 failed: ")


def test_the_shortest_way_of_migrations_is_taken() -> None:
    steps = dict.fromkeys([(1, 2), (2, 3), (3, 4), (1, 3), (3, 1)], lambda value: value)
    assert migration_path(steps, 1, 4) == [(1, 3), (3, 4)]
    assert migration_path(steps, 4, 1) is None
    chain = spec(Manifest(3, "value", "initial", {"A": "a"}), _1_2=lambda n: [*n, 2], _2_3=lambda n: [*n, 3])
    assert chosen(chain, at(5), floor=3) == RestorePoint([1, 2, 3], at(5).position, migrated=True)


def test_a_ctrl_c_in_code_of_the_project_is_not_taken_for_a_fault() -> None:
    def interrupted(value: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chosen(spec(TWO, _1_2=interrupted), at(5), floor=3)
