"""What a batch proves about the reader's cursor."""

from __future__ import annotations

import asyncio

from via_state.backplanes.base import Backplane
from via_state.core.records import GENESIS, Batch, LogBounds, Position
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

    async def test_a_cursor_at_the_floor_is_proven_by_the_floor(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                return
            first, second, third = await append(plane, "log", b"a", b"b", b"c")
            await plane.compact("log", second.offset)
            batch = await self.evidence(plane, "log", second)
            assert batch.floor == second
            assert [pack.data for pack in batch.packs] == [b"c"]
            assert (await self.evidence(plane, "log", first)).cursor_id is None
            assert (await self.evidence(plane, "log", third)).cursor_id == third.record_id
            await plane.compact("log", third.offset)
            at_head = await self.evidence(plane, "log", third)
            assert at_head.floor == at_head.head == third
            assert at_head.packs == []

    async def test_a_cursor_of_another_epoch_reads_by_its_offset(self) -> None:
        async with self.one() as plane:
            first, second = await append(plane, "log", b"a", b"b")
            batch = await self.evidence(plane, "log", Position("another", first.offset, "another-0"))
            assert batch.head.epoch == second.epoch
            assert batch.cursor_id == first.record_id
            assert [pack.data for pack in batch.packs] == [b"b"]

    async def test_an_offset_of_another_backplane_is_answered_with_evidence(self) -> None:
        """Whatever the offset: a reader that comes from elsewhere must see another history, not an outage."""
        async with self.one() as plane:
            for key in ("log", "never written"):
                if key == "log":
                    await append(plane, "log", b"a", b"b")
                for offset in (1, 5, 1023, 1024, 1025, 2**31, 2**53, FAR):
                    batch = await self.evidence(plane, key, Position("another", offset, "another-0"))
                    assert batch.head.epoch != "another"
                    assert batch.cursor_id != "another-0"
                    counted = await plane.count(key, offset, LogBounds(batch.head, batch.floor))
                    assert counted >= 0

    async def test_a_dropped_log_begins_a_new_epoch(self) -> None:
        async with self.two() as (first, second):
            (before,) = await append(first, "log", b"old")
            await first.drop("log")
            assert await read_all(second, "log") == []
            assert (await second.head("log")).position.offset == 0
            (after,) = await append(second, "log", b"new")
            assert after.epoch != before.epoch
            assert [data for _, data in await read_all(first, "log")] == [b"new"]

    async def test_a_drop_through_a_record_takes_none_that_came_after_it(self) -> None:
        async with self.two() as (first, second):
            await first.drop("log", Position("unwritten", 1, "unwritten-0"))
            old, before = await append(first, "log", b"old", b"before")
            (late,) = await append(second, "log", b"late")
            await first.drop("log", before)
            assert (await read_all(second, "log"))[-1][1] == b"late"
            await first.drop("log", old)
            assert (await read_all(second, "log"))[-1][1] == b"late"
            last = (await second.head("log")).position
            assert last.offset == late.offset
            await first.drop("log", last)
            assert await read_all(second, "log") == []
            (after,) = await append(second, "log", b"new")
            assert after.epoch not in (late.epoch, last.epoch)
            await first.drop("log", late)
            assert [data for _, data in await read_all(first, "log")] == [b"new"]

    async def test_a_drop_takes_all_records_or_none(self) -> None:
        async with self.two() as (writer, other):
            landed: list[Position] = []
            done = asyncio.Event()

            async def write() -> None:
                again = new_id()  # one of them again and again, as after a lost answer
                for _ in range(25):
                    landed.append(await writer.append("log", new_id(), 2, b"x"))
                    landed.append(await writer.append("log", again, 2, b"x"))

            async def drop() -> None:
                while not done.is_set():
                    await other.drop("log")
                    if other.compacts:
                        batch = await other.read("log", GENESIS, limit=1)
                        await other.compact("log", batch.packs[0].last if batch.packs else 0)
                    await asyncio.sleep(0)

            dropping = asyncio.create_task(drop())
            await asyncio.gather(write(), write())
            done.set()
            await dropping
            await append(writer, "log", b"last")
            batch = await writer.read("log", GENESIS)
            found = {pack.record_id(pack.last) for pack in batch.packs}
            kept = {one for one in landed if one.epoch == batch.head.epoch and one.offset > batch.floor.offset}
            assert {one.record_id for one in kept} == {record for record in found if record.endswith("-1")}

    async def test_rewritten_history_shows_under_the_cursor(self) -> None:
        async with self.one() as plane:
            cursor = (await append(plane, "log", b"a", b"b"))[-1]
            swept = (await plane.changed(None)).cursor
            await self.rewrite_history(plane, "log")
            changes = await plane.changed(swept)
            assert changes.everything or "log" in changes.logs
            batch = await self.evidence(plane, "log", cursor)
            same = batch.head.epoch == cursor.epoch and batch.cursor_id == cursor.record_id
            assert not same

    async def test_records_that_are_gone_without_a_floor_are_reported(self) -> None:
        async with self.two() as (plane, other):
            if not plane.dense:
                return
            positions = await append(plane, "log", *(b"%d" % number for number in range(1, 11)))
            before, inside, after = positions[2], positions[4], positions[6]
            await self.lose_records(plane, "log", 4, 6)
            assert [pack.last for pack in (await self.evidence(other, "log", GENESIS)).packs] == [1, 2, 3]
            for cursor in (before, inside):
                batch = await self.evidence(other, "log", cursor)
                assert (batch.packs, batch.hole, batch.head) == ([], 6, positions[9])
            short = await other.read("log", before, limit=1)
            assert (short.packs, short.hole) == ([], 6)
            batch = await self.evidence(other, "log", after)
            assert (batch.hole, batch.cursor_id, len(batch.packs)) == (0, after.record_id, 3)
            await self.lose_records(plane, "log", 1, 1)
            assert (await self.evidence(other, "log", GENESIS)).hole == 1
            await self.lose_records(plane, "log", 9, 10)
            assert [pack.last for pack in (await self.evidence(other, "log", after)).packs] == [8]
            for cursor in (positions[7], positions[9]):
                assert (await self.evidence(other, "log", cursor)).hole == 10

    async def test_a_lost_record_does_not_become_the_floor(self) -> None:
        async with self.one() as plane:
            if not (plane.dense and plane.compacts):
                return
            positions = await append(plane, "log", *(b"%d" % number for number in range(1, 8)))
            await self.lose_records(plane, "log", 2, 4)
            for through in (2, 4):
                assert await plane.compact("log", through) == 0
            assert await plane.compact("log", 5) == 5
            batch = await self.evidence(plane, "log", GENESIS)
            assert (batch.hole, batch.floor, [pack.last for pack in batch.packs]) == (0, positions[4], [6, 7])

    async def test_a_log_without_any_record_left_is_not_taken_for_an_empty_one(self) -> None:
        async with self.one() as plane:
            if not plane.dense:
                return
            last = (await append(plane, "log", b"1", b"2"))[-1]
            await self.lose_records(plane, "log", 1, 2)
            for cursor in (GENESIS, last):
                batch = await self.evidence(plane, "log", cursor)
                assert (batch.hole, batch.head) == (2, last)
            (later,) = await append(plane, "log", b"3")
            assert (await self.evidence(plane, "log", last)).hole == 2
            assert (await self.evidence(plane, "log", later)).hole == 0
