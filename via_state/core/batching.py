"""Which rows of a queue travel together: as many of one key as one append takes, in order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Queued(NamedTuple, Generic[K]):
    """A row. ``batch`` is the append that was begun for it and those in ``members``, of which it is the first; ``size`` in bytes."""

    id: int
    key: K
    batch: Hashable | None
    members: frozenset[int]
    records: int
    size: int


@dataclass(slots=True)
class Batch:
    """Rows of one key. ``batch`` is set where they were claimed before."""

    batch: Hashable | None
    ids: list[int]
    records: int = 0
    size: int = 0

    def add(self, row: Queued[K]) -> None:
        self.ids.append(row.id)
        self.records, self.size = self.records + row.records, self.size + row.size


def batches(
    rows: Iterable[Queued[K]], most_records: int, most_bytes: int, alone: frozenset[K] = frozenset()
) -> dict[K, list[Batch]]:
    """The appends of each key, in the order of their first rows. ``rows`` are in the order of their ids.

    Rows that were claimed together stay together, seen or not. The others are joined up to the limits; a row that exceeds them is on its own, and
    so is each row of a key in ``alone``.
    """
    found: dict[K, list[Batch]] = {}
    claimed: set[int] = set()
    for row in rows:
        of_key = found.setdefault(row.key, [])
        if row.id in claimed:
            continue
        if row.batch is not None:
            of_key.append(Batch(row.batch, sorted(row.members)))
            claimed |= row.members
            continue
        same = of_key[-1] if of_key and of_key[-1].batch is None and row.key not in alone else None
        if same and (same.records + row.records > most_records or same.size + row.size > most_bytes):
            same = None
        if same is None:
            same = Batch(None, [])
            of_key.append(same)
        same.add(row)
    return found
