"""Compaction on PostgreSQL: what others do meanwhile, and what a compaction that failed leaves behind."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from tests.backplanes.conftest import Make
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres import log as postgres_log
from via_state.core.records import GENESIS, Batch, Position
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.testing.conformance.harness import FAR, append, new_id


async def sql(plane: PostgresBackplane, statement: str, *values: object) -> list[tuple[Any, ...]]:
    async with plane._connections.use(write=True) as connection:
        cursor = await connection.execute(statement, values)
        return [] if cursor.description is None else await cursor.fetchall()


async def stored(plane: PostgresBackplane, prefix: str, key: str = "log") -> list[int]:
    """The first offsets of all packs of a log that take space."""
    rows = await sql(
        plane,
        "SELECT first FROM via_state_pack pack JOIN via_state_log log ON log.id = pack.log_id "
        "WHERE log.prefix = %s AND log.key = %s ORDER BY first",
        prefix,
        key,
    )
    return [first for (first,) in rows]


async def age(plane: PostgresBackplane, prefix: str, *firsts: int) -> None:
    """Make packs an hour old."""
    await sql(
        plane,
        "UPDATE via_state_pack SET created = now() - interval '1 hour' WHERE first = ANY(%s) "
        "AND log_id IN (SELECT id FROM via_state_log WHERE prefix = %s)",
        list(firsts),
        prefix,
    )


WAITING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%%DELETE FROM via_state_pack%%'"
)


async def test_what_a_cut_compaction_left_goes_with_the_next_one(make: Make, prefix: str) -> None:
    plane, other = make(), make()
    positions = await append(plane, "log", *(b"%d" % number for number in range(10)))
    await age(plane, prefix, *range(1, 11))
    through = positions[6].offset
    async with other._connections.use(write=True) as blocker, blocker.transaction():
        # The floor goes up, and the discard waits here until its connection is cut.
        await blocker.execute("SELECT 1 FROM via_state_pack WHERE first = 3 FOR UPDATE")
        compacting = asyncio.create_task(plane.compact("log", through))
        deadline = time.monotonic() + 10
        while not await sql(other, WAITING):
            assert time.monotonic() < deadline, "the compaction never came to its discard"
            await asyncio.sleep(0.01)
        with pytest.raises((BackplaneUnavailable, OutcomeUnknown)):
            await compacting
    assert (await other.head("log")).floor == positions[6]
    assert await stored(other, prefix) == list(range(1, 11))
    assert [pack.first for pack in (await other.read("log", GENESIS)).packs] == [8, 9, 10]
    assert await plane.compact("log", through) == through  # there is nothing to raise
    assert await stored(other, prefix) == [8, 9, 10]


async def test_a_pack_that_was_too_young_goes_when_it_is_old(make: Make, prefix: str) -> None:
    """The server dates an append before it gets its place in the log, so that dates don't rise with offsets."""
    plane = make()
    await append(plane, "log", *(b"%d" % number for number in range(6)))
    await age(plane, prefix, 1, 2, 4, 5)
    await plane.compact("log", 5)
    assert 3 in await stored(plane, prefix), "a repeated append must be recognised"
    await age(plane, prefix, 3)
    await plane.compact("log", 5)
    assert await stored(plane, prefix) == [6]


async def test_packs_that_a_restored_backup_brought_back_go(
    make: Make, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = make()
    await append(plane, "log", *(b"%d" % number for number in range(6)))
    await age(plane, prefix, *range(1, 7))
    await plane.compact("log", 4)
    await sql(
        plane,
        "INSERT INTO via_state_pack (log_id, first, last, append_id, created, data) "
        "SELECT id, 2, 2, gen_random_uuid(), now() - interval '1 hour', '' FROM via_state_log WHERE prefix = %s",
        prefix,
    )
    monkeypatch.setattr(postgres_log, "FROM_THE_START", 0.0)
    await plane.compact("log", 5)
    assert await stored(plane, prefix) == [6]


@pytest.mark.parametrize("seed", range(1, 6))
async def test_two_compact_one_appends_and_one_reads(
    make: Make, prefix: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Compactions end early at random moments, too; each pack says in its data where it begins and how long it is."""
    monkeypatch.setattr(postgres_log, "DELETE_ROWS", 7)
    monkeypatch.setattr(postgres_log, "REST", 0.0)
    chaos = random.Random(seed)
    writer, reader, *compactors = (make() for _ in range(4))
    for compactor in compactors:
        compactor._logs._remember = 0.0  # everything may go at once
    ids: dict[int, str] = {0: ""}  # of each record, by offset
    epoch, ended, seen = "", asyncio.Event(), Counter[str]()

    async def write() -> None:
        nonlocal epoch
        for _ in range(300):
            count, append_id, first = chaos.randint(1, 5), new_id(), len(ids)
            ids.update({first + index: f"{append_id}-{index}" for index in range(count)})
            last = await writer.append("log", append_id, count, b"%d %d" % (first, count))
            assert last.offset == first + count - 1
            epoch = last.epoch
        ended.set()

    async def compact(plane: PostgresBackplane) -> None:
        while not ended.is_set():
            through = chaos.randint(0, len(ids))
            head = (await plane.head("log")).position.offset
            compacting = asyncio.create_task(plane.compact("log", through))
            if chaos.random() < 0.2:
                await asyncio.sleep(chaos.uniform(0, 0.01))
                compacting.cancel()
            await asyncio.wait([compacting])
            if not compacting.cancelled():
                assert compacting.result() >= min(through, head)
                seen["compacted"] += 1

    def check_cursor(after: Position, batch: Batch) -> int:
        """Check a batch; returns the offset through which it shows all."""
        assert batch.floor.record_id == ids[batch.floor.offset]
        assert batch.head.record_id == ids[batch.head.offset]
        proven = batch.floor.offset < after.offset <= batch.head.offset
        assert batch.cursor_id == (ids[after.offset] if proven else None)
        if batch.floor.offset > after.offset:
            seen["loss shown"] += 1
        shown = max(after.offset, batch.floor.offset)
        for pack in batch.packs:
            assert pack.data == b"%d %d" % (pack.first, pack.count)
            assert pack.first <= shown + 1 <= pack.last, "a gap, or a pack that is below the floor or the cursor"
            assert pack.record_id(pack.last) == ids[pack.last]
            shown = pack.last
        assert batch.packs or shown >= batch.head.offset, "a batch is empty at the head only"
        return shown

    async def read() -> None:
        floor = 0
        while not ended.is_set():
            after = Position(epoch, chaos.randint(0, len(ids) - 1), "")
            for _ in range(chaos.randint(1, 4)):
                batch = await reader.read("log", after, chaos.randint(1, 40))
                if not batch.head.offset:
                    break  # not written yet
                assert batch.floor.offset >= floor, "a floor was lowered"
                floor = batch.floor.offset
                after = Position(epoch, check_cursor(after, batch), "")
                seen["read"] += 1

    await append(writer, "another log", b"x")
    await asyncio.gather(write(), read(), *(compact(plane) for plane in compactors))
    assert min(seen["compacted"], seen["loss shown"], seen["read"]) > 5, seen
    head = await writer.head("log")
    middle = min(head.floor.offset + 3, head.position.offset)
    for compactor in compactors:  # one has something to raise, the other nothing
        floor = await compactor.compact("log", middle)
        assert floor == middle
    left = [first for first in await stored(writer, prefix, "log") if first + 4 < floor]
    assert left == [], "packs below the floor were left behind"
    for offset in (0, floor, len(ids) - 1):
        after = Position(epoch, offset, "")
        while (batch := await reader.read("log", after, 50)).packs:
            after = Position(epoch, check_cursor(after, batch), "")
        assert after.offset == len(ids) - 1
    assert await stored(writer, prefix, "another log") == [1]


async def test_dropping_while_others_compact_ends_well(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_log, "DELETE_ROWS", 20)
    monkeypatch.setattr(postgres_log, "REST", 0.0)
    chaos = random.Random(7)
    writer, *compactors = (make() for _ in range(3))
    for compactor in compactors:
        compactor._logs._remember = 0.0
    for _ in range(8):
        await asyncio.gather(*(writer.append("log", new_id(), 1, b"x") for _ in range(60)))
        compacting = [asyncio.create_task(plane.compact("log", FAR)) for plane in compactors]
        await asyncio.sleep(chaos.uniform(0, 0.01))
        await writer.drop("log")
        await asyncio.gather(*compacting)
        last = await writer.append("log", new_id(), 1, b"kept")
        assert last.offset == 1
        assert [pack.data for pack in (await writer.read("log", GENESIS)).packs] == [b"kept"]
        await writer.drop("log")
