"""The memory backplane keeps the contract."""

from __future__ import annotations

import pytest

from tests.sparse import SparseBackplane
from via_state.backplanes import memory, memory_log
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import GENESIS, Position
from via_state.testing.conformance import BackplaneConformance
from via_state.testing.conformance.harness import append, read_all


class TestMemoryBackplane(BackplaneConformance):
    def make(self) -> Backplane:
        return MemoryBackplane({})

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """Other records in the same epoch. Nothing but a test can do that to memory."""
        assert isinstance(plane, MemoryBackplane)
        log = plane._logs[key]
        log.packs, log.gone, log.head = [], 0, Position(log.epoch, 0, "")
        await append(plane, key, b"another", b"history")

    async def lose_records(self, plane: Backplane, key: str, first: int, last: int) -> None:
        """Nothing but a test can do that to memory."""
        assert isinstance(plane, MemoryBackplane)
        log = plane._logs[key]
        kept = [pack for pack in log.packs if pack.last < first or pack.first > last]
        log.packs = kept


def test_an_unknown_option_is_an_error() -> None:
    (message,) = MemoryBackplane.check({"POOL": 3, "PREFIX": "via"})
    assert message.id == "via_state.E020"
    assert "'POOL'" in message.msg


async def test_append_ids_are_forgotten_after_the_retry_window(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = MemoryBackplane({})
    monkeypatch.setattr(MemoryBackplane, "retry_window", -1.0)
    for number in range(100):
        await plane.append("log", f"{number:032x}", 1, b"x")
    assert len(plane._logs["log"].appends) <= 1


async def test_moves_that_are_forgotten_ask_to_look_at_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOVES", 10)
    plane = MemoryBackplane({})
    cursor = (await plane.changed(None)).cursor
    for number in range(10):
        await plane.cas(f"cell{number}", None, b"x")
    changes = await plane.changed(cursor)
    assert (len(changes.cells), changes.everything) == (10, False)
    await plane.cas("one more", None, b"x")
    assert (await plane.changed(cursor)).everything
    assert (await plane.changed(changes.cursor)).cells.keys() == {"one more"}
    assert len(plane._moves) == 10


async def test_what_compaction_discards_is_freed_and_what_stays_is_not_copied() -> None:
    plane = MemoryBackplane({})
    positions = await append(plane, "log", *(b"%d" % number for number in range(100)))
    log = plane._logs["log"]
    packs = log.packs
    await plane.compact("log", positions[29].offset)
    assert log.packs is packs
    assert packs[:30] == [memory_log.GONE] * 30
    assert [data for _, data in await read_all(plane, "log")] == [b"%d" % number for number in range(30, 100)]
    await plane.compact("log", positions[59].offset)
    assert len(packs) == len(log.packs) == 40
    assert [data for _, data in await read_all(plane, "log")] == [b"%d" % number for number in range(60, 100)]


class TestSparseOffsets(BackplaneConformance):
    """The suite assumes nothing about offsets but their order."""

    def make(self) -> Backplane:
        return SparseBackplane({})

    async def test_there_are_gaps(self) -> None:
        async with self.one() as plane:
            await plane.append("log", "0" * 32, 5, b"five")
            await append(plane, "log", b"x")
            first, second = (await plane.read("log", GENESIS)).packs
            assert second.first > first.last + 1
