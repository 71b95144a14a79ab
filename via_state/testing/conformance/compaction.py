"""Discarding a prefix, and showing that it is gone."""

from __future__ import annotations

import asyncio

from via_state.core.records import GENESIS, Position
from via_state.testing.conformance.harness import FAR, Harness, append, new_id, read_all


class CompactionConformance(Harness):
    async def test_compaction_discards_a_prefix_and_keeps_offsets(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                assert await plane.compact("log", 5) == 0
                return
            positions = await append(plane, "log", b"1", b"2", b"3", b"4", b"5")
            assert await plane.compact("log", positions[2].offset) == positions[2].offset
            batch = await plane.read("log", positions[2])
            assert batch.floor == positions[2] == (await plane.head("log")).floor
            assert batch.head == positions[4]
            assert await read_all(plane, "log") == [(positions[3].offset, b"4"), (positions[4].offset, b"5")]
            (later,) = await append(plane, "log", b"6")
            assert later.offset > positions[4].offset

    async def test_the_floor_only_rises_and_stays_below_the_head(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                return
            positions = await append(plane, "log", b"1", b"2", b"3")
            second, third = positions[1].offset, positions[2].offset
            assert await plane.compact("log", 0) == 0
            assert await plane.compact("log", second) == second
            assert await plane.compact("log", positions[0].offset) == second
            assert await plane.compact("log", FAR) == third
            assert (await plane.head("log")) == (positions[2], positions[2])
            assert await plane.compact("unwritten", FAR) == 0

    async def test_a_compaction_that_was_decided_for_another_epoch_does_nothing(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                return
            (before,) = await append(plane, "log", b"1")
            assert await plane.compact("log", FAR, new_id()) == 0
            await plane.drop("log")
            positions = await append(plane, "log", b"2", b"3")
            for epoch in (before.epoch, "of another adapter", ""):
                assert await plane.compact("log", FAR, epoch) == 0
            assert [data for _, data in await read_all(plane, "log")] == [b"2", b"3"]
            assert await plane.compact("log", FAR, positions[1].epoch) == positions[1].offset

    async def test_a_floor_inside_a_pack_hides_what_is_below(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                return
            last = await plane.append("log", new_id(), 5, b"five")
            middle = last.offset - 2
            assert await plane.compact("log", middle) == middle
            batch = await plane.read("log", GENESIS)
            assert batch.floor.offset == middle
            assert batch.floor.record_id == f"{last.record_id[:-1]}2"
            assert [pack.last for pack in batch.packs] == [last.offset]
            at_floor = await plane.read("log", batch.floor)
            assert [pack.last for pack in at_floor.packs] == [last.offset]

    async def test_an_append_id_is_known_after_compaction(self) -> None:
        async with self.one() as plane:
            if not plane.compacts:
                return
            append_id = new_id()
            before = await plane.append("log", append_id, 1, b"x")
            await append(plane, "log", b"y")
            await plane.compact("log", FAR)
            assert await plane.append("log", append_id, 1, b"x") == before
            assert await read_all(plane, "log") == []

    async def test_an_append_id_that_another_instance_compacted_is_known(self) -> None:
        async with self.two() as (first, second):
            if not first.compacts:
                return
            append_id = new_id()
            before = await first.append("log", append_id, 4, b"four")
            await second.compact("log", before.offset - 2)  # inside the pack
            assert await second.append("log", append_id, 4, b"four") == before
            await second.compact("log", FAR)
            assert await first.append("log", append_id, 4, b"four") == before
            assert (await first.head("log")) == (before, before)

    async def test_compactions_at_the_same_time_never_lower_the_floor(self) -> None:
        async with self.two() as planes:
            if not planes[0].compacts:
                return
            positions = await append(planes[0], "log", *(b"%d" % number for number in range(20)))
            floors = await asyncio.gather(
                *(planes[number % 2].compact("log", one.offset) for number, one in enumerate(positions))
            )
            assert all(floor >= one.offset for floor, one in zip(floors, positions, strict=True))
            assert (await planes[0].head("log")).floor == positions[-1]

    async def test_a_reader_racing_compaction_is_shown_the_loss(self) -> None:
        async with self.two() as (writer, reader):
            if not writer.compacts:
                return
            written: dict[int, int] = {}  # offsets of what was acknowledged, with their numbers
            done = asyncio.Event()

            async def write() -> None:
                for number in range(60):
                    (last,) = await append(writer, "log", str(number).encode())
                    written[last.offset] = number
                    if number % 5 == 4:
                        await writer.compact("log", next(o for o, n in written.items() if n == number - 2))
                done.set()

            writing = asyncio.create_task(write())
            after, number = GENESIS, -1
            while not (done.is_set() and after.offset == (await reader.head("log")).position.offset):
                await asyncio.sleep(0)
                batch = await reader.read("log", after, limit=3)
                if batch.floor.offset > after.offset:
                    number = written[batch.floor.offset]  # the loss is shown in the batch that follows it
                for pack in batch.packs:
                    number += 1
                    assert int(pack.data) == number
                    after = Position(batch.head.epoch, pack.last, "")
            await writing
            assert number == 59
