"""Cells and compare-and-swap."""

from __future__ import annotations

import asyncio
import time

import pytest

from via_state.backplanes.base import Backplane
from via_state.core.records import Cell, Revision
from via_state.exceptions import CASConflict, ValueTooLarge
from via_state.testing.conformance.harness import MANY_KEYS, Harness, append


async def until_absent(plane: Backplane, key: str) -> None:
    """Wait until a cell has expired."""
    deadline = time.monotonic() + 10
    while await plane.load(key) is not None:
        assert time.monotonic() < deadline, f"{key!r} did not expire"
        await asyncio.sleep(0.01)


def cell_of(refusal: CASConflict) -> Cell | None:
    """What a refusal brings."""
    assert refusal.cell is None or isinstance(refusal.cell, Cell)
    return refusal.cell


def held(cell: Cell | None) -> tuple[bytes, Revision] | None:
    """What a cell has, without its times."""
    return None if cell is None else (cell.data, cell.revision)


class StoreConformance(Harness):
    async def test_an_absent_cell_is_absent(self) -> None:
        async with self.one() as plane:
            assert await plane.load("cell") is None
            assert await plane.load_many([]) == {}
            with pytest.raises(CASConflict):
                await plane.cas("cell", Revision(5, "another"), b"x")

    async def test_a_stale_revision_changes_nothing(self) -> None:
        async with self.two() as (first, second):
            revision = await first.cas("cell", None, b"one")
            assert revision.number > 0
            with pytest.raises(CASConflict):
                await second.cas("cell", None, b"two")
            newer = await second.cas("cell", revision, b"three")
            assert newer.number > revision.number
            with pytest.raises(CASConflict):
                await first.cas("cell", revision, b"four")
            assert held(await first.load("cell")) == (b"three", newer)

    async def test_the_revisions_of_many_cells_are_asked_for_together(self) -> None:
        async with self.two() as (first, second):
            made = {
                f"together.{number}": await first.cas(f"together.{number}", None, b"x") for number in range(20)
            }
            made["together.3"] = await first.cas("together.3", made["together.3"], b"y")
            await first.cas("together.short", None, b"x", ttl=0.05)
            await until_absent(first, "together.short")
            assert await second.revisions([*made, "together.short", "together.absent"]) == made
            assert await second.revisions([]) == {}

    async def test_a_revision_is_both_its_number_and_its_write_id(self) -> None:
        """A store that lost writes gives numbers out again: what was read before must not pass for what is there."""
        async with self.two() as (first, second):
            mine, other = await first.cas("cell", None, b"mine"), await first.cas("other", None, b"mine")
            assert mine.write_id != other.write_id
            for wrong in (
                Revision(mine.number, other.write_id),
                Revision(mine.number, "another"),
                Revision(mine.number, ""),
                Revision(mine.number + 1, mine.write_id),
            ):
                with pytest.raises(CASConflict):
                    await second.cas("cell", wrong, b"late")
            assert held(await second.load("cell")) == (b"mine", mine)
            again = await second.cas("cell", mine, b"mine")
            assert again.write_id != mine.write_id

    async def test_cells_come_back_as_they_were(self) -> None:
        async with self.two() as (first, second):
            values = {"bytes": bytes(range(256)), "empty": b"", "large": b"large" * 20_000}
            revisions = {key: await first.cas(key, None, data) for key, data in values.items()}
            found = await second.load_many([*values, "absent", "empty"])
            assert {key: held(cell) for key, cell in found.items()} == {
                key: (data, revisions[key]) for key, data in values.items()
            }

    async def test_a_cell_says_how_old_it_is_and_how_long_it_counts(self) -> None:
        """By the store's clock: pods compare neither with a clock of their own."""
        async with self.two() as (first, second):
            await first.cas("short", None, b"x", ttl=100.0)
            await first.cas("long", None, b"x")
            deadline = time.monotonic() + 10
            while True:
                found = await second.load_many(["short", "long"])
                ages = {key: cell.age for key, cell in found.items()}
                assert all(0 <= age < 50 for age in ages.values()), ages
                if min(ages.values()) > 0.05:
                    break
                assert time.monotonic() < deadline, "they get no older"
                await asyncio.sleep(0.01)
            assert found["long"].ttl is None
            ttl = found["short"].ttl
            assert ttl is not None
            assert 99.5 < ttl + ages["short"] < 100.5
            short = await second.cas("short", found["short"].revision, b"y", ttl=200.0)
            renewed = await first.load("short")
            assert held(renewed) == (b"y", short)
            assert renewed is not None
            assert renewed.age < ages["short"] + 50
            assert renewed.ttl is not None
            assert 150 < renewed.ttl <= 200.5

    async def test_a_value_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        async with self.one() as plane:
            await plane.load("cell")  # a server may say how much it takes
            plane.max_value_bytes = 10
            with pytest.raises(ValueTooLarge):
                await plane.cas("cell", None, b"x" * 11)
            revision = await plane.cas("cell", None, b"x" * 10)
            with pytest.raises(ValueTooLarge):
                await plane.cas("cell", revision, b"y" * 11)
            assert held(await plane.load("cell")) == (b"x" * 10, revision)

    async def test_each_round_has_one_winner(self) -> None:
        async with self.two() as planes:
            revision: Revision | None = None
            highest = 0
            for number in range(10):
                ttl = 0.02 if number % 3 == 2 else None
                results = await asyncio.gather(
                    *(
                        planes[racer % 2].cas("cell", revision, f"{number}.{racer}".encode(), ttl)
                        for racer in range(6)
                    ),
                    return_exceptions=True,
                )
                won = [result for result in results if isinstance(result, Revision)]
                assert len(won) == 1
                assert sum(isinstance(result, CASConflict) for result in results) == 5
                assert won[0].number > highest
                highest, revision = won[0].number, won[0]
                if ttl:  # the next round is about an absent cell
                    await until_absent(planes[0], "cell")
                    revision = None

    async def test_a_refusal_brings_the_cell_that_is_there(self) -> None:
        async with self.two() as (first, second):
            with pytest.raises(CASConflict) as refused:
                await first.cas("cell", Revision(5, "another"), b"x")
            assert refused.value.cell is None
            stale = await first.cas("cell", None, b"one", ttl=100.0)
            with pytest.raises(CASConflict) as refused:
                await second.cas("cell", None, b"two")
            assert held(cell_of(refused.value)) == (b"one", stale)
            there = cell_of(refused.value)
            assert there is not None
            assert there.ttl is not None
            assert 50 < there.ttl <= 100.5
            newer = await second.cas("cell", stale, b"three")
            with pytest.raises(CASConflict) as refused:
                await first.cas("cell", stale, b"four")
            assert held(cell_of(refused.value)) == (b"three", newer)
            short = await first.cas("short", None, b"x", ttl=0.01)
            await until_absent(first, "short")
            with pytest.raises(CASConflict) as refused:
                await second.cas("short", short, b"y")
            assert refused.value.cell is None

    async def test_a_refusal_in_a_race_brings_the_winners_cell(self) -> None:
        """Also to one that waited for the winner at the server, which saw the cell as it was before that."""
        async with self.two() as planes:
            revision: Revision | None = None
            for number in range(10):
                results = await asyncio.gather(
                    *(planes[racer % 2].cas("cell", revision, f"{number}.{racer}".encode()) for racer in range(6)),
                    return_exceptions=True,
                )
                ((winner, revision),) = [(at, one) for at, one in enumerate(results) if isinstance(one, Revision)]
                refused = [held(cell_of(one)) for one in results if isinstance(one, CASConflict)]
                assert refused == [(f"{number}.{winner}".encode(), revision)] * 5

    async def test_a_revision_is_never_used_again(self) -> None:
        async with self.two() as (first, second):
            seen: set[Revision] = set()
            for _ in range(3):
                revision = await first.cas("cell", None, b"same", ttl=0.02)
                assert revision not in seen
                seen.add(revision)
                await until_absent(second, "cell")
                with pytest.raises(CASConflict):
                    await first.cas("cell", revision, b"late")
            await first.prune()
            last = await first.cas("cell", None, b"same")
            assert last.number not in {one.number for one in seen}

    async def test_a_cell_expires(self) -> None:
        async with self.one() as plane:
            first = await plane.cas("short", None, b"x", ttl=0.05)
            await plane.cas("long", None, b"x", ttl=100)
            await until_absent(plane, "short")
            with pytest.raises(CASConflict):
                await plane.cas("short", first, b"y")
            assert await plane.prune() == 1
            assert await plane.prune() == 0
            assert await plane.load("long") is not None
            assert (await plane.cas("short", None, b"y")).number > first.number

    async def test_a_write_decides_again_when_a_cell_expires(self) -> None:
        async with self.one() as plane:
            kept = await plane.cas("kept", None, b"x", ttl=0.3)
            longer = await plane.cas("longer", None, b"x", ttl=0.3)
            await plane.cas("kept", kept, b"y")
            await plane.cas("longer", longer, b"y", ttl=100)
            await plane.cas("witness", None, b"x", ttl=0.3)
            await until_absent(plane, "witness")
            assert set(await plane.load_many(["kept", "longer", "witness"])) == {"kept", "longer"}

    async def test_an_expired_cell_is_created_again_once(self) -> None:
        async with self.two() as planes:
            await planes[0].cas("cell", None, b"x", ttl=0.01)
            await until_absent(planes[0], "cell")
            results = await asyncio.gather(
                *(planes[racer % 2].cas("cell", None, b"y") for racer in range(6)), return_exceptions=True
            )
            assert sum(isinstance(result, Revision) for result in results) == 1
            assert sum(isinstance(result, CASConflict) for result in results) == 5

    async def test_all_cells_are_listed_page_by_page(self) -> None:
        async with self.two() as (first, second):
            assert await first.cells() == {}
            revisions = {key: await first.cas(key, None, key.encode()) for key in MANY_KEYS}
            await first.cas("short", None, b"x", ttl=100)
            await first.cas("gone", None, b"x", ttl=0.001)
            await append(first, "a log", b"x")
            await until_absent(first, "gone")
            found: dict[str, Cell] = {}
            while page := await second.cells(next(reversed(found), ""), limit=7):
                assert len(page) <= 7
                assert not page.keys() & found.keys()
                found.update(page)
            for begin in ("a", "many.1", "x" * 512, "ünïcödé.", "*"):
                assert (await second.cells(begin=begin)).keys() == {
                    key for key in MANY_KEYS if key.startswith(begin)
                }
            portions = [await second.cells(limit=2, begin="many.1")]
            while portions[-1]:
                portions.append(await second.cells(next(reversed(portions[-1])), limit=2, begin="many.1"))
            assert sum(map(len, portions)) == 11
            assert (await second.cells(begin="short")).keys() == {"short"}
            assert await second.cells(begin="gone") == {}
            short = found.pop("short").ttl
            assert short is not None
            assert 50 < short <= 100.5
            assert {cell.ttl for cell in found.values()} == {None}
            assert {key: held(cell) for key, cell in found.items()} == {
                key: (key.encode(), revisions[key]) for key in MANY_KEYS
            }
