"""What a batch proves about the reader's cursor."""

from __future__ import annotations

from via_state.backplanes.base import Backplane
from via_state.core.records import Batch, Position
from via_state.testing.conformance.harness import FAR, Harness, append, new_id, read_all


class EvidenceConformance(Harness):
    async def evidence(self, plane: Backplane, key: str, after: Position) -> Batch:
        """A batch of the leader."""
        batch = await plane.read(key, after)
        assert batch.authoritative
        return batch

    async def test_the_record_under_the_cursor_is_shown(self) -> None:
        async with self.one() as plane:
            last = await plane.append("log", new_id(), 3, b"abc")
            await append(plane, "log", b"d")
            assert (await self.evidence(plane, "log", last)).cursor_id == last.record_id
            middle = Position(last.epoch, last.offset - 1, f"{last.record_id[:-1]}1")
            assert (await self.evidence(plane, "log", middle)).cursor_id == middle.record_id
            assert (await self.evidence(plane, "log", last._replace(offset=FAR))).cursor_id is None

    async def test_a_dropped_log_begins_a_new_epoch(self) -> None:
        async with self.two() as (first, second):
            (before,) = await append(first, "log", b"old")
            await first.drop("log")
            assert await read_all(second, "log") == []
            assert (await second.head("log")).position.offset == 0
            (after,) = await append(second, "log", b"new")
            assert after.epoch != before.epoch
            assert [data for _, data in await read_all(first, "log")] == [b"new"]

    async def test_rewritten_history_shows_under_the_cursor(self) -> None:
        async with self.one() as plane:
            cursor = (await append(plane, "log", b"a", b"b"))[-1]
            await self.rewrite_history(plane, "log")
            batch = await self.evidence(plane, "log", cursor)
            same = batch.head.epoch == cursor.epoch and batch.cursor_id == cursor.record_id
            assert not same
