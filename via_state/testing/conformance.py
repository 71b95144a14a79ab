"""The contract of a backplane as tests. An adapter that passes them works with everything else.

Needs pytest and pytest-asyncio. Subclass `BackplaneConformance` in a test module and give it ``make``::

    class TestMyBackplane(BackplaneConformance):
        def make(self):
            return MyBackplane({...})  # over the same data each time within one test, empty at its start
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from via_state.backplanes.base import Backplane
from via_state.core.records import GENESIS, Batch, Position
from via_state.exceptions import AppendTooLarge, CASConflict, Closed, InvalidKey

ODD_KEYS = ["a", "a.b.c", "room.~2E", "ünïcödé.鍵", "with space", "quote'\"%s", "*>", "x" * 512]
FAR = 10**9


def new_id() -> str:
    """An append id."""
    return uuid.uuid4().hex


async def eventually(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Return when ``condition()`` is true; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        await asyncio.sleep(0.005)


async def append(plane: Backplane, key: str, *datas: bytes) -> list[Position]:
    """One append for each of ``datas``, a record each."""
    return [await plane.append(key, new_id(), 1, data) for data in datas]


async def read_all(
    plane: Backplane, key: str, after: Position = GENESIS, limit: int = 1000
) -> list[tuple[int, bytes]]:
    """Everything behind a cursor, as (first offset, data) of the packs, read batch by batch."""
    found: list[tuple[int, bytes]] = []
    while (batch := await plane.read(key, after, limit)).packs:
        for pack in batch.packs:
            assert pack.last > after.offset, "a pack brings something new"
            found.append((pack.first, pack.data))
            after = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
    return found


@pytest.mark.asyncio
class BackplaneConformance:
    """Override `make`, and `rewrite_history` where the adapter's data can be restored or edited from outside."""

    def make(self) -> Backplane:
        """A new backplane. Those made within one test share their data if the class says ``shared``."""
        raise NotImplementedError

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Backplane]:
        plane = self.make()
        try:
            yield plane
        finally:
            await plane.close()

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[Backplane, Backplane]]:
        """Two instances over one data set; for an adapter without shared data, one instance twice."""
        async with self.one() as first:
            if not first.shared:
                yield first, first
                return
            async with self.one() as second:
                yield first, second

    # Event log --------------------------------------------------------------------------------------------

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
            assert len((await plane.read("log", GENESIS, limit=1)).packs) == 1
            assert len(await read_all(plane, "log", limit=7)) == 10

    async def test_logs_are_independent(self) -> None:
        async with self.one() as plane:
            for data in (b"1", b"2"):
                await append(plane, "alpha", b"a" + data)
                await append(plane, "beta", b"b" + data)
            assert [data for _, data in await read_all(plane, "alpha")] == [b"a1", b"a2"]
            assert [data for _, data in await read_all(plane, "beta")] == [b"b1", b"b2"]

    async def test_odd_keys_are_distinct(self) -> None:
        async with self.one() as plane:
            for key in ODD_KEYS:
                await append(plane, key, key.encode())
                await plane.cas(key, 0, key.encode())
            for key in ODD_KEYS:
                assert [data for _, data in await read_all(plane, key)] == [key.encode()]
            assert {key: cell.data for key, cell in (await plane.load_many(ODD_KEYS)).items()} == {
                key: key.encode() for key in ODD_KEYS
            }

    @pytest.mark.parametrize("key", ["", "x" * 513, "a\0b"])
    async def test_impossible_keys_are_refused(self, key: str) -> None:
        async with self.one() as plane:
            with pytest.raises(InvalidKey):
                await plane.append(key, new_id(), 1, b"x")
            with pytest.raises(InvalidKey):
                await plane.cas(key, 0, b"x")

    async def test_bytes_come_back_as_they_were(self) -> None:
        async with self.one() as plane:
            datas = [bytes(range(256)), b"", b"\0" * 1000, b"large" * 200_000]
            await append(plane, "log", *datas)
            assert [data for _, data in await read_all(plane, "log")] == datas

    async def test_the_writers_buffer_is_its_own(self) -> None:
        async with self.one() as plane:
            buffer = bytearray(b"before")
            await plane.append("log", new_id(), 1, buffer)  # type: ignore[arg-type]
            await plane.cas("cell", 0, buffer)  # type: ignore[arg-type]
            buffer[:] = b"after!"
            assert [data for _, data in await read_all(plane, "log")] == [b"before"]
            assert (await plane.load_many(["cell"]))["cell"].data == b"before"

    async def test_too_large_is_refused_before_it_is_sent(self) -> None:
        async with self.one() as plane:
            with pytest.raises(AppendTooLarge):
                await plane.append("log", new_id(), plane.max_append_records + 1, b"x")
            plane.max_append_bytes = 10
            with pytest.raises(AppendTooLarge):
                await plane.append("log", new_id(), 1, b"x" * 11)
            assert (await plane.head("log")).position.offset == 0

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

    # Evidence ---------------------------------------------------------------------------------------------

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

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """Replace the log by another one, as a restore does; the default drops it and writes it anew."""
        await plane.drop(key)
        await append(plane, key, b"another", b"history", b"of", b"more", b"records")

    async def test_rewritten_history_shows_under_the_cursor(self) -> None:
        async with self.one() as plane:
            cursor = (await append(plane, "log", b"a", b"b"))[-1]
            await self.rewrite_history(plane, "log")
            batch = await self.evidence(plane, "log", cursor)
            same = batch.head.epoch == cursor.epoch and batch.cursor_id == cursor.record_id
            assert not same

    # Compaction -------------------------------------------------------------------------------------------

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

    async def test_a_reader_racing_compaction_is_shown_the_loss(self) -> None:
        async with self.two() as (writer, reader):
            if not writer.compacts:
                return
            done = asyncio.Event()

            async def write() -> None:
                for number in range(60):
                    (last,) = await append(writer, "log", str(number).encode())
                    if number % 5 == 4:
                        await writer.compact("log", last.offset - 2)
                done.set()

            writing = asyncio.create_task(write())
            after, expected = GENESIS, 1
            while not (done.is_set() and after.offset == (await reader.head("log")).position.offset):
                await asyncio.sleep(0)
                batch = await reader.read("log", after, limit=3)
                if batch.floor.offset > after.offset:
                    expected = batch.floor.offset + 1  # the loss is shown in the batch that follows it
                for pack in batch.packs:
                    assert pack.first == expected
                    after, expected = Position(batch.head.epoch, pack.last, ""), pack.last + 1
            await writing
            assert after.offset == 60

    # Store ------------------------------------------------------------------------------------------------

    async def test_an_absent_cell_is_absent(self) -> None:
        async with self.one() as plane:
            assert await plane.load("cell") is None
            assert await plane.load_many([]) == {}
            with pytest.raises(CASConflict):
                await plane.cas("cell", 5, b"x")
            with pytest.raises(CASConflict):
                await plane.delete("cell", 5)

    async def test_a_stale_revision_changes_nothing(self) -> None:
        async with self.two() as (first, second):
            rev = await first.cas("cell", 0, b"one")
            assert rev > 0
            with pytest.raises(CASConflict):
                await second.cas("cell", 0, b"two")
            newer = await second.cas("cell", rev, b"three")
            assert newer > rev
            with pytest.raises(CASConflict):
                await first.cas("cell", rev, b"four")
            assert await first.load("cell") == (b"three", newer)

    async def test_each_round_has_one_winner(self) -> None:
        async with self.two() as planes:
            rev = 0
            for number in range(10):
                results = await asyncio.gather(
                    *(planes[racer % 2].cas("cell", rev, f"{number}.{racer}".encode()) for racer in range(6)),
                    return_exceptions=True,
                )
                won = [result for result in results if isinstance(result, int)]
                assert len(won) == 1
                assert sum(isinstance(result, CASConflict) for result in results) == 5
                rev = won[0]

    async def test_a_revision_is_never_used_again(self) -> None:
        async with self.two() as (first, second):
            seen = set()
            for _ in range(3):
                rev = await first.cas("cell", 0, b"same")
                assert rev not in seen
                seen.add(rev)
                await second.delete("cell", rev)
                assert await first.load("cell") is None
                with pytest.raises(CASConflict):
                    await first.cas("cell", rev, b"late")
            await first.prune()
            assert await first.cas("cell", 0, b"same") not in seen

    async def test_a_cell_expires(self) -> None:
        async with self.one() as plane:
            first = await plane.cas("short", 0, b"x", ttl=0.05)
            await plane.cas("long", 0, b"x", ttl=100)
            deadline = time.monotonic() + 10
            while await plane.load("short") is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            with pytest.raises(CASConflict):
                await plane.cas("short", first, b"y")
            assert await plane.prune() == 1
            assert await plane.prune() == 0
            assert await plane.load("long") is not None
            assert await plane.cas("short", 0, b"y") > first

    # Changes and doorbells --------------------------------------------------------------------------------

    async def test_changes_name_everything_that_moved(self) -> None:
        async with self.two() as (writer, reader):
            await append(writer, "old", b"x")
            cursor = (await reader.changed(None)).cursor
            (position,) = await append(writer, "log", b"x")
            rev = await writer.cas("cell", 0, b"x")
            changes = await reader.changed(cursor)
            assert changes.logs["log"].position == position
            assert changes.cells["cell"] == rev
            await writer.delete("cell", rev)
            await writer.drop("log")
            later = await reader.changed(changes.cursor)
            assert later.cells["cell"] == 0
            assert later.logs["log"].position.offset == 0

    async def test_changes_never_omit_under_concurrent_writes(self) -> None:
        async with self.two() as (writer, reader):
            seen: dict[str, int] = {}
            cursor = (await reader.changed(None)).cursor
            done = asyncio.Event()

            async def write(name: int) -> None:
                for number in range(25):
                    await append(writer, f"log{(name + number) % 7}", b"x")

            async def look() -> None:
                nonlocal cursor
                while True:
                    last_look = done.is_set()
                    changes = await reader.changed(cursor)
                    cursor = changes.cursor
                    for key, head in changes.logs.items():
                        seen[key] = max(seen.get(key, 0), head.position.offset)
                    if last_look:
                        return
                    await asyncio.sleep(0)

            looking = asyncio.create_task(look())
            await asyncio.gather(*(write(name) for name in range(6)))
            done.set()
            await looking
            assert seen == {f"log{n}": (await reader.head(f"log{n}")).position.offset for n in range(7)}

    async def test_a_doorbell_rings_for_watched_keys(self) -> None:
        async with self.two() as (writer, reader):
            rung: list[str | None] = []
            watch = reader.watch(rung.append)
            for key in ("log", "cell", "unwatched"):
                watch.add(key)
            watch.discard("unwatched")
            watch.discard("never added")

            async def ring_until_heard(key: str, ring: Callable[[], object]) -> None:
                # The subscription may take a moment to hold, and a doorbell may be lost: it is rung again.
                deadline = time.monotonic() + 10
                while key not in rung:
                    assert time.monotonic() < deadline, f"{key} never rang"
                    await ring()  # type: ignore[misc]
                    await asyncio.sleep(0.01)

            await ring_until_heard("log", lambda: append(writer, "log", b"x"))
            rev = 0

            async def write_cell() -> None:
                nonlocal rev
                rev = await writer.cas("cell", rev, b"x")

            await ring_until_heard("cell", write_cell)
            await append(writer, "unwatched", b"x")
            rung.clear()
            await ring_until_heard("log", lambda: append(writer, "log", b"x"))
            assert "unwatched" not in rung
            await watch.close()
            await watch.close()

    # Closing ----------------------------------------------------------------------------------------------

    async def test_a_closed_backplane_refuses_everything(self) -> None:
        plane = self.make()
        await append(plane, "log", b"x")
        await plane.close()
        await plane.close()
        calls: list[Callable[[], object]] = [
            lambda: plane.load("cell"),
            lambda: plane.load_many(["cell"]),
            lambda: plane.cas("cell", 0, b"x"),
            lambda: plane.delete("cell", 1),
            lambda: plane.prune(),
            lambda: plane.append("log", new_id(), 1, b"x"),
            lambda: plane.read("log", GENESIS),
            lambda: plane.head("log"),
            lambda: plane.changed(None),
            lambda: plane.drop("log"),
            lambda: plane.compact("log", 1),
        ]
        for call in calls:
            with pytest.raises(Closed):
                await asyncio.wait_for(call(), 5)  # type: ignore[arg-type]
        with pytest.raises(Closed):
            plane.watch(lambda key: None)
