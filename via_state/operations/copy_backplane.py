"""From one backplane to another: logs with their record ids, and cells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from via_state.backplanes.base import Backplane
from via_state.core.packs import piece_id, pieces
from via_state.core.records import GENESIS, Batch, Pack, Position
from via_state.exceptions import ViaStateError

#: Records in one read.
PORTION = 5000


class MoveError(ViaStateError):
    """What is in the way, and what to do about it."""


class CopiedLog(NamedTuple):
    """A log that is whole on the other side. ``places``: where offsets of the old log are in the new one."""

    records: int
    old_epoch: str
    new_epoch: str
    places: dict[int, Position]


class BackplaneCopy:
    """Copies from ``source`` to ``target``. Nobody else may write to either."""

    def __init__(self, source: Backplane, target: Backplane) -> None:
        self._source, self._target = source, target

    async def log(self, key: str, wanted: Iterable[int]) -> CopiedLog:
        """Copy what is missing of a log, compare both, and say where the records at the offsets ``wanted`` are now.

        Raises `MoveError`. Begun and interrupted, it continues where it was.
        """
        await self._copy(key)
        return await self._compare(key, set(wanted))

    async def _copy(self, key: str) -> None:
        there = (await self._target.head(key)).position
        last = _append_id(there)  # what was copied already, if anything
        if marker := await self._marker(key):
            # Let the new log begin after a record with the id of the old one's floor.
            if not last:
                there = await self._target.append(key, marker.id, marker.count, b"[]")
            if last in ("", marker.id):
                await self._target.compact(key, there.offset)
                last = ""
        async for pack in self._packs(self._source, key):
            if not last:
                await self._target.append(key, pack.id, pack.count, pack.data)
            elif pack.id == last:
                last = ""
        if last:
            raise MoveError(
                f"{key!r} has records of its own where it should go. Remove them, or choose another prefix."
            )

    async def _marker(self, key: str) -> Pack | None:
        """What ends with the record at the floor, where that is not in a pack which comes along."""
        floor = (await self._source.head(key)).floor
        first = await anext(self._packs(self._source, key), None)
        if not floor.offset or (first is not None and first.first <= floor.offset):
            return None
        append_id, _, index = floor.record_id.rpartition("-")
        count = int(index) + 1
        if count > self._target.max_append_records:
            append_id, count = piece_id(append_id, int(index)), 1
        return Pack(append_id, 0, count, b"")

    async def _compare(self, key: str, wanted: set[int]) -> CopiedLog:
        old, new = await self._source.head(key), await self._target.head(key)
        floor, epoch = old.floor.offset, new.position.epoch
        wanted = wanted | {floor}
        places: dict[int, Position] = {}
        records = 0
        theirs = self._packs(self._target, key)
        async for pack in self._packs(self._source, key):
            other = await anext(theirs, None)
            if other is None or (other.id, other.count, other.data) != (pack.id, pack.count, pack.data):
                raise MoveError(f"{key!r} is another log where it should be a copy, from the append {pack.id} on.")
            for offset in wanted & {*range(pack.first, pack.last + 1)}:
                at = other.first + offset - pack.first
                places[offset] = Position(epoch, at, other.record_id(at))
            records += pack.last - max(pack.first - 1, floor)
        if await anext(theirs, None) is not None:
            raise MoveError(f"{key!r} has more records where it should be a copy.")
        if floor:
            if floor in places:  # inside a pack that came along
                await self._target.compact(key, places[floor].offset)
            places[floor] = (await self._target.head(key)).floor
        return CopiedLog(records, old.position.epoch, epoch, places)

    async def _packs(self, plane: Backplane, key: str) -> AsyncIterator[Pack]:
        """The packs of a log that reach beyond its floor, cut so that the target takes them."""
        limits = self._target
        after = GENESIS
        while (batch := await plane.read(key, after, PORTION)).packs:
            for pack in batch.packs:
                try:
                    for piece in pieces(pack, limits.max_append_records, limits.max_append_bytes):
                        if piece.last > batch.floor.offset:
                            yield piece
                except ValueError as error:
                    raise MoveError(f"{key!r}: {error}.") from error
            after = _end(batch)
        if batch.hole:
            raise MoveError(
                f"{key!r} lacks records up to offset {batch.hole}, which nothing of via_state discarded. Put them back from "
                "a backup first."
            )

    async def cells(self) -> int:
        """Copy the cells; those that are there with the same value already stay. Returns how many there are."""
        count, after = 0, ""
        while page := await self._source.cells(after):
            there = await self._target.load_many(page)
            for after, cell in page.items():
                if after not in there:
                    await self._target.cas(after, None, cell.data, cell.ttl)
                elif there[after].data != cell.data:
                    raise MoveError(f"The cell {after!r} has another value where it should go. Remove it first.")
                count += 1
        return count


def _end(batch: Batch) -> Position:
    last = batch.packs[-1]
    return Position(batch.head.epoch, last.last, last.record_id(last.last))


def _append_id(position: Position) -> str:
    return position.record_id.rpartition("-")[0]
