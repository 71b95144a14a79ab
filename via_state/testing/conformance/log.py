"""Appending and reading."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from via_state.backplanes.base import Backplane
from via_state.core.records import GENESIS, Append, AppendedAfter, LogBounds, Position
from via_state.exceptions import AppendTooLarge, Closed, InvalidKey
from via_state.testing.conformance.harness import (
    MANY_KEYS,
    ODD_KEYS,
    Harness,
    append,
    eventually,
    new_id,
    read_all,
)


class LogConformance(Harness):
    async def test_an_unwritten_log_is_empty(self) -> None:
        async with self.one() as plane:
            head = await plane.head("empty")
            assert head.position.offset == head.floor.offset == 0
            batch = await plane.read("empty", GENESIS)
            assert batch.packs == []
            assert batch.head.offset == 0

    async def test_offsets_rise_and_the_head_follows(self) -> None:
        async with self.one() as plane:
            positions = await append(plane, "log", b"a", b"b", b"c")
            offsets = [position.offset for position in positions]
            assert offsets == sorted(set(offsets))
            assert offsets[0] > 0
            assert len({position.epoch for position in positions}) == 1
            assert (await plane.head("log")).position == positions[-1]

    async def test_records_come_in_order_from_the_beginning(self) -> None:
        async with self.one() as plane:
            await append(plane, "log", b"a", b"b", b"c")
            assert [data for _, data in await read_all(plane, "log")] == [b"a", b"b", b"c"]

    async def test_reading_resumes_behind_the_cursor(self) -> None:
        async with self.one() as plane:
            positions = await append(plane, "log", b"a", b"b", b"c")
            assert await read_all(plane, "log", positions[1]) == [(positions[2].offset, b"c")]
            assert await read_all(plane, "log", positions[2]) == []

    async def test_a_pack_keeps_its_records_together_and_dense(self) -> None:
        async with self.one() as plane:
            append_id = new_id()
            last = await plane.append("log", append_id, 5, b"five")
            (pack,) = (await plane.read("log", GENESIS)).packs
            assert (pack.id, pack.count, pack.last, pack.data) == (append_id, 5, last.offset, b"five")
            assert last.record_id == f"{append_id}-4" == pack.record_id(last.offset)

    async def test_a_cursor_inside_a_pack_gets_the_whole_pack(self) -> None:
        async with self.one() as plane:
            last = await plane.append("log", new_id(), 5, b"five")
            (pack,) = (await plane.read("log", last._replace(offset=last.offset - 2))).packs
            assert pack.data == b"five"

    async def test_a_batch_is_bounded_and_never_stalls(self) -> None:
        async with self.one() as plane:
            for _ in range(10):
                await plane.append("log", new_id(), 10, b"ten")
            batch = await plane.read("log", GENESIS, limit=25)
            assert 1 <= len(batch.packs) <= 3
            assert len((await plane.read("log", GENESIS, limit=0)).packs) == 1
            assert len((await plane.read("log", GENESIS, limit=1)).packs) == 1
            assert len(await read_all(plane, "log", limit=7)) == 10

    async def test_the_records_behind_an_offset_are_counted(self) -> None:
        """Records, not offsets: what other logs are given in between does not count."""
        async with self.one() as plane:
            ends = []
            for count in (1, 5, 2):
                ends.append((await plane.append("log", new_id(), count, b"some")).offset)
                await append(plane, "other", b"x")
            head = await plane.head("log")
            assert [await plane.count("log", end, head) for end in (0, *ends)] == [8, 7, 2, 0]
            assert await plane.count("log", ends[1] - 3, head) == 5  # inside a pack
            await append(plane, "log", b"later")
            assert await plane.count("log", ends[0], head) == 7
            nothing = await plane.head("empty")
            assert await plane.count("empty", 0, nothing) == 0

    async def test_discarded_records_are_not_counted(self) -> None:
        async with self.one() as plane:
            positions = await append(plane, "log", b"a", b"b", b"c", b"d")
            if plane.compacts:
                await plane.compact("log", positions[1].offset)
                assert await plane.count("log", 0, await plane.head("log")) == 2
            assert await plane.count("log", positions[2].offset, await plane.head("log")) == 1

    async def test_logs_are_independent(self) -> None:
        async with self.one() as plane:
            for data in (b"1", b"2"):
                await append(plane, "alpha", b"a" + data)
                await append(plane, "beta", b"b" + data)
            assert [data for _, data in await read_all(plane, "alpha")] == [b"a1", b"a2"]
            assert [data for _, data in await read_all(plane, "beta")] == [b"b1", b"b2"]

    async def test_the_heads_of_many_logs_are_asked_for_together(self) -> None:
        async with self.two() as (first, second):
            keys = [f"together.{number}" for number in range(120)]
            for number, key in enumerate(keys[:20]):
                for _ in range(number % 3 + 1):
                    await append(first, key)
            await first.drop(keys[0])
            heads = await second.heads(keys)
            for key in keys[:21]:
                assert heads.get(key, LogBounds(GENESIS, GENESIS)) == await second.head(key)
            assert not any(head.position.offset for key, head in heads.items() if key in keys[20:])
            assert await second.heads([]) == {}

    async def test_logs_that_are_read_together_are_as_each_alone(self) -> None:
        """An adapter may leave out any of them."""
        async with self.two() as (first, second):
            after: dict[str, Position] = {}
            for number in range(20):
                key = f"beside.{number}"
                positions = await append(first, key, *(f"{number}-{record}".encode() for record in range(4)))
                positions += await append(first, key, b"last")
                after[key] = [GENESIS, *positions][number % 6]
                if first.compacts and number % 3 == 0:
                    await first.compact(key, positions[2].offset)
                if number % 7 == 0:
                    await first.drop(key)
            after["beside.never"] = GENESIS
            found = await second.read_many(after)
            assert found == {key: await second.read(key, after[key]) for key in found}
            assert found.keys() <= after.keys()
            assert await second.read_many({}) == {}

    async def test_an_append_that_says_what_it_follows_says_the_truth(self) -> None:
        """An adapter may say nothing of that."""
        async with self.two() as (first, second):
            before = GENESIS
            for number in range(12):
                plane = (first, second)[number % 2]
                if number == 4 and plane.compacts:
                    await plane.compact("log", before.offset)
                if number == 8:
                    await plane.drop("log")
                    before = GENESIS
                one = Append("log", new_id(), number % 3 + 1, b"x")
                found = None
                if number % 4 > 1:
                    found = (await plane.append_many([one])).get("log")
                if found is None:
                    found = await plane.append(one.key, one.append_id, one.count, one.data)
                assert isinstance(found, Position)
                if isinstance(found, AppendedAfter):
                    assert found.after == before
                again = await plane.append(one.key, one.append_id, one.count, one.data)
                assert not isinstance(again, AppendedAfter) or again.after == before
                before = found

    async def test_appends_that_race_say_each_what_it_follows(self) -> None:
        async with self.two() as (first, second):
            await append(first, "busy", b"first")

            async def append_some(plane: Backplane) -> list[Position]:
                return [(await append(plane, "busy", b"x"))[0] for _ in range(15)]

            found = await asyncio.gather(*(append_some(plane) for plane in (first, second, first, second)))
            packs = (await first.read("busy", GENESIS)).packs
            before = {later.id: one.record_id(one.last) for one, later in itertools.pairwise(packs)}
            for position in itertools.chain(*found):
                if isinstance(position, AppendedAfter):
                    assert position.after.record_id == before[position.record_id.rpartition("-")[0]]

    async def test_odd_keys_are_distinct(self) -> None:
        async with self.one() as plane:
            for key in ODD_KEYS:
                await append(plane, key, key.encode())
                await plane.cas(key, None, key.encode())
            for key in ODD_KEYS:
                assert [data for _, data in await read_all(plane, key)] == [key.encode()]
            assert {key: cell.data for key, cell in (await plane.load_many(ODD_KEYS)).items()} == {
                key: key.encode() for key in ODD_KEYS
            }

    async def test_all_logs_are_listed_page_by_page(self) -> None:
        async with self.one() as plane:
            assert await plane.logs() == {}
            for key in MANY_KEYS:
                await append(plane, key, b"x")
            await append(plane, "gone", b"x")
            await plane.drop("gone")
            await plane.cas("a cell", None, b"x")
            found: dict[str, LogBounds] = {}
            while page := await plane.logs(next(reversed(found), ""), limit=7):
                assert len(page) <= 7
                assert not page.keys() & found.keys()
                found.update(page)
            assert found.keys() == MANY_KEYS
            for begin in ("a", "many.1", "x" * 512, "ünïcödé.", "*", "gone", "a cell"):
                assert (await plane.logs(begin=begin)).keys() == {
                    key for key in MANY_KEYS if key.startswith(begin)
                }
            assert found["a.b.c"] == await plane.head("a.b.c")

    @pytest.mark.parametrize("key", ["", "x" * 513, "a\0b", "a\ud800"], ids=["empty", "long", "NUL", "surrogate"])
    async def test_impossible_keys_are_refused(self, key: str) -> None:
        async with self.one() as plane:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: plane.append(key, new_id(), 1, b"x"),
                lambda: plane.read(key, GENESIS),
                lambda: plane.head(key),
                lambda: plane.drop(key),
                lambda: plane.compact(key, 1),
                lambda: plane.cas(key, None, b"x"),
                lambda: plane.load(key),
                lambda: plane.load_many(["cell", key]),
            ]
            for call in calls:
                with pytest.raises(InvalidKey):
                    await call()

    async def test_bytes_come_back_as_they_were(self) -> None:
        async with self.one() as plane:
            datas = [bytes(range(256)), b"", b"\0" * 1000, b"large" * 200_000]
            await append(plane, "log", *datas)
            assert [data for _, data in await read_all(plane, "log")] == datas

    async def test_the_writers_buffer_is_its_own(self) -> None:
        async with self.one() as plane:
            buffer = bytearray(b"before")
            await plane.append("log", new_id(), 1, buffer)  # type: ignore[arg-type]
            await plane.cas("cell", None, buffer)  # type: ignore[arg-type]
            buffer[:] = b"after!"
            assert [data for _, data in await read_all(plane, "log")] == [b"before"]
            assert (await plane.load_many(["cell"]))["cell"].data == b"before"

    async def test_too_large_and_nothing_at_all_are_refused_before_they_are_sent(self) -> None:
        async with self.one() as plane:
            with pytest.raises(AppendTooLarge):
                await plane.append("log", new_id(), plane.max_append_records + 1, b"x")
            plane.max_append_bytes = 10
            with pytest.raises(AppendTooLarge):
                await plane.append("log", new_id(), 1, b"x" * 11)
            with pytest.raises(ValueError, match="at least one record"):
                await plane.append("log", new_id(), 0, b"")
            assert (await plane.head("log")).position.offset == 0
            await append(plane, "log", b"x" * 10)

    async def test_concurrent_appends_all_land_once(self) -> None:
        async with self.two() as planes:
            datas = [str(number).encode() for number in range(60)]
            positions = await asyncio.gather(
                *(planes[number % 2].append("log", new_id(), 1, data) for number, data in enumerate(datas))
            )
            by_offset = {position.offset: data for position, data in zip(positions, datas, strict=True)}
            assert len(by_offset) == 60
            assert await read_all(planes[0], "log") == sorted(by_offset.items())
            assert (await planes[1].head("log")).position.offset == max(by_offset)

    async def test_a_reader_under_concurrent_appends_misses_nothing(self) -> None:
        async with self.two() as (writer, reader):
            done = asyncio.Event()

            async def write(name: int) -> None:
                for number in range(40):
                    await append(writer, "log", f"{name}:{number}".encode())

            async def read() -> list[bytes]:
                found: list[bytes] = []
                after = GENESIS
                while True:
                    last_look = done.is_set()
                    await asyncio.sleep(0)  # an adapter without I/O would not let the writers run
                    batch = await reader.read("log", after, limit=7)
                    for pack in batch.packs:
                        found.append(pack.data)
                        after = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
                    if last_look and not batch.packs:
                        return found

            reading = asyncio.create_task(read())
            await asyncio.gather(*(write(name) for name in range(4)))
            done.set()
            found = [data.decode().split(":") for data in await reading]
            for name in range(4):
                assert [int(number) for who, number in found if int(who) == name] == list(range(40))

    async def test_an_append_id_counts_once(self) -> None:
        async with self.two() as (first, second):
            append_id = new_id()
            before = await first.append("log", append_id, 3, b"abc")
            await append(first, "log", b"later")
            assert await first.append("log", append_id, 3, b"abc") == before
            assert await second.append("log", append_id, 3, b"abc") == before
            assert [data for _, data in await read_all(first, "log")] == [b"abc", b"later"]

    async def test_the_same_append_id_at_the_same_time_counts_once(self) -> None:
        async with self.two() as planes:
            append_id = new_id()
            positions = await asyncio.gather(
                *(planes[number % 2].append("log", append_id, 1, b"once") for number in range(8))
            )
            assert len(set(positions)) == 1
            assert [data for _, data in await read_all(planes[0], "log")] == [b"once"]

    async def test_an_append_id_counts_once_per_log(self) -> None:
        async with self.one() as plane:
            append_id = new_id()
            await plane.append("one", append_id, 1, b"x")
            await plane.append("other", append_id, 1, b"x")
            assert len(await read_all(plane, "other")) == 1

    async def test_an_append_that_waits_for_nothing_is_one_like_any_other(self) -> None:
        async with self.one() as plane:
            if not plane.immediate:
                with pytest.raises(NotImplementedError):
                    plane.append_now("log", 1, b"x")
                return
            rung: list[str | None] = []
            watch = plane.watch(rung.append)
            watch.add("log")
            (first,) = await append(plane, "log", b"0")
            last = await asyncio.to_thread(plane.append_now, "log", 2, b"1")
            assert (last.epoch, last.offset > first.offset + 1) == (first.epoch, True)
            assert (await plane.head("log")).position == last
            assert [data for _, data in await read_all(plane, "log")] == [b"0", b"1"]
            await eventually(lambda: rung.count("log") == 2, "the doorbell of another thread")
            with pytest.raises(AppendTooLarge):
                plane.append_now("log", plane.max_append_records + 1, b"x")
            with pytest.raises(InvalidKey):
                plane.append_now("", 1, b"x")
            await watch.close()
            await plane.close()
            with pytest.raises(Closed):
                plane.append_now("log", 1, b"x")

    async def test_threads_append_each_in_its_order(self) -> None:
        async with self.one() as plane:
            if not plane.immediate:
                return

            def work(name: int) -> list[int]:
                return [plane.append_now(f"log{n % 2}", 1, b"%d %d" % (name, n)).offset for n in range(200)]

            found = await asyncio.gather(*(asyncio.to_thread(work, name) for name in range(4)))
            assert all(offsets[::2] == sorted(offsets[::2]) for offsets in found)
            for log in range(2):
                stored = await read_all(plane, f"log{log}")
                assert len({offset for offset, _ in stored}) == 400
                for name in range(4):
                    mine = [data for _, data in stored if data.startswith(b"%d " % name)]
                    assert mine == [b"%d %d" % (name, n) for n in range(log, 200, 2)]
