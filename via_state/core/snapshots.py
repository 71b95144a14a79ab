"""Snapshots: folded values that a fold may continue from, and the choice among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from via_state.core.manifest import Manifest
from via_state.core.project_code import is_failure
from via_state.core.records import Position
from via_state.core.values import ValueCodec

V = TypeVar("V")

#: Makes a value of one version (as JSON builtins) a value of another. Pure.
Migration: TypeAlias = Callable[[Any], Any]


class Snapshot(NamedTuple):
    """A folded value as it is stored: the fold, by the code of ``manifest``, of the log up to ``position``."""

    position: Position
    manifest: Manifest
    data: bytes
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotSpec(Generic[V]):
    """How a declaration is snapshotted. ``migrations`` maps (from version, to version) to the function.

    ``interval``: folds between two snapshots, 0 for none; None for what the setting says. ``compact``: whether the
    records that a snapshot covers may be discarded.
    """

    codec: ValueCodec[V]
    manifest: Manifest
    migrations: Mapping[tuple[int, int], Migration]
    interval: int | None = None
    compact: bool = True


class MissingMigration(Exception):
    """No registered migration leads from one version to another; the text says which to register."""


class RestorePoint(NamedTuple):
    """A value to continue from. ``migrated``: it was made by another version's snapshot, and must be stored first."""

    value: Any
    position: Position
    migrated: bool


class NoRestorePoint(NamedTuple):
    """Snapshots were there, and this code can't continue from any of them: ``why``."""

    why: str


def choose_restore_point(
    spec: SnapshotSpec[Any],
    snapshots: Iterable[Snapshot],
    *,
    head: Position,
    floor: int,
    disproven: Collection[Position],
) -> RestorePoint | NoRestorePoint | None:
    """The best value to continue from, or None when there is no snapshot at all that fits the log.

    ``head`` is the log's; a snapshot of another epoch, from beyond the head or before the ``floor`` does not fit it, nor does
    a ``disproven`` one. ``floor`` is the last record that this code can't fold itself, because it was discarded or can't be
    read; 0 where there is none. Only after such a record is the value of other code taken over or migrated: otherwise the log
    tells more.
    """
    fitting = [
        one
        for one in snapshots
        if one.position.epoch == head.epoch
        and floor <= one.position.offset <= head.offset
        and one.position not in disproven
    ]
    fitting.sort(key=attrgetter("position.offset"), reverse=True)
    why = []
    for one in fitting:
        if spec.manifest.continues(one.manifest):
            try:
                return RestorePoint(spec.codec.decode(one.data), one.position, migrated=False)
            except MemoryError:
                raise
            except BaseException as error:
                if not is_failure(error):
                    raise
                why.append(f"the snapshot at offset {one.position.offset} does not decode: {error}")
    if floor:
        for one in fitting:
            if spec.manifest.continues(one.manifest):
                continue
            try:
                return RestorePoint(_migrate(spec, one), one.position, migrated=True)
            except MissingMigration as missing:
                why.append(f"{missing} ({spec.manifest.differences(one.manifest)} since the snapshot was made)")
            except MemoryError:
                raise
            except BaseException as error:
                if not is_failure(error):
                    raise
                step = f"the migration from version {one.manifest.version} to {spec.manifest.version}"
                why.append(f"{step} failed: {type(error).__name__}: {error}")
    return NoRestorePoint("; ".join(dict.fromkeys(why))) if why else None


def migration_path(
    migrations: Mapping[tuple[int, int], Migration], start: int, end: int
) -> list[tuple[int, int]] | None:
    """The fewest steps that lead from one version to another, or None."""
    paths: deque[list[tuple[int, int]]] = deque([[]])
    seen = {start}
    while paths:
        path = paths.popleft()
        at = path[-1][1] if path else start
        for step in sorted(one for one in migrations if one[0] == at and one[1] not in seen):
            if step[1] == end:
                return [*path, step]
            seen.add(step[1])
            paths.append([*path, step])
    return None


def _migrate(spec: SnapshotSpec[Any], snapshot: Snapshot) -> Any:
    if spec.manifest.folds_like(snapshot.manifest):
        return spec.codec.decode(snapshot.data)
    before, after = snapshot.manifest.version, spec.manifest.version
    if before == after:
        raise MissingMigration(
            f"the code changed and its version did not: declare version={after + 1} and register the migration "
            f"({before}, {after + 1}), which may return the value as it is"
        )
    path = migration_path(spec.migrations, before, after)
    if path is None:
        raise MissingMigration(f"the migration ({before}, {after}) is not registered")
    value = msgspec.json.decode(snapshot.data)
    for step in path:
        value = spec.codec.plain(spec.migrations[step](value))
    return spec.codec.convert(value)
