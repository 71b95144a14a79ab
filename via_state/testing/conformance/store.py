"""Cells and compare-and-swap."""

from __future__ import annotations

import asyncio
import time

import pytest

from via_state.core.records import Lasting
from via_state.exceptions import CASConflict, ValueTooLarge
from via_state.testing.conformance.harness import MANY_KEYS, Harness, append


class StoreConformance(Harness):
    async def test_an_absent_cell_is_absent(self) -> None:
        async with self.one() as plane:
            assert await plane.load("cell") is None
            assert await plane.load_many([]) == {}
            with pytest.raises(CASConflict):
                await plane.cas("cell", 5, b"x")
            for rev in (0, 5):
                with pytest.raises(CASConflict):
                    await plane.delete("cell", rev)

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
            with pytest.raises(CASConflict):
                await first.delete("cell", rev)
            assert await first.load("cell") == (b"three", newer)

    async def test_cells_come_back_as_they_were(self) -> None:
        async with self.two() as (first, second):
            values = {"bytes": bytes(range(256)), "empty": b"", "large": b"large" * 20_000}
            revs = {key: await first.cas(key, 0, data) for key, data in values.items()}
            found = await second.load_many([*values, "absent", "empty"])
            assert found == {key: (data, revs[key]) for key, data in values.items()}

    async def test_a_value_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        async with self.one() as plane:
            await plane.load("cell")  # a server may say how much it takes
            plane.max_value_bytes = 10
            with pytest.raises(ValueTooLarge):
                await plane.cas("cell", 0, b"x" * 11)
            rev = await plane.cas("cell", 0, b"x" * 10)
            with pytest.raises(ValueTooLarge):
                await plane.cas("cell", rev, b"y" * 11)
            assert await plane.load("cell") == (b"x" * 10, rev)

    async def test_each_round_has_one_winner(self) -> None:
        async with self.two() as planes:
            rev = highest = 0
            for number in range(10):
                results = await asyncio.gather(
                    *(planes[racer % 2].cas("cell", rev, f"{number}.{racer}".encode()) for racer in range(6)),
                    return_exceptions=True,
                )
                won = [result for result in results if isinstance(result, int)]
                assert len(won) == 1
                assert sum(isinstance(result, CASConflict) for result in results) == 5
                assert won[0] > highest
                rev = highest = won[0]
                if number % 3 == 2:  # the next round is about an absent cell
                    await planes[0].delete("cell", rev)
                    rev = 0

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
            with pytest.raises(CASConflict):
                await plane.delete("short", first)
            assert await plane.prune() == 1
            assert await plane.prune() == 0
            assert await plane.load("long") is not None
            assert await plane.cas("short", 0, b"y") > first

    async def test_a_write_decides_anew_when_a_cell_expires(self) -> None:
        async with self.one() as plane:
            kept = await plane.cas("kept", 0, b"x", ttl=0.3)
            longer = await plane.cas("longer", 0, b"x", ttl=0.3)
            await plane.cas("kept", kept, b"y")
            await plane.cas("longer", longer, b"y", ttl=100)
            await plane.cas("witness", 0, b"x", ttl=0.3)
            deadline = time.monotonic() + 10
            while await plane.load("witness") is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert set(await plane.load_many(["kept", "longer", "witness"])) == {"kept", "longer"}

    async def test_an_expired_cell_is_created_again_once(self) -> None:
        async with self.two() as planes:
            await planes[0].cas("cell", 0, b"x", ttl=0.01)
            deadline = time.monotonic() + 10
            while await planes[0].load("cell") is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            results = await asyncio.gather(
                *(planes[racer % 2].cas("cell", 0, b"y") for racer in range(6)), return_exceptions=True
            )
            assert sum(isinstance(result, int) for result in results) == 1
            assert sum(isinstance(result, CASConflict) for result in results) == 5

    async def test_all_cells_are_listed_page_by_page(self) -> None:
        async with self.two() as (first, second):
            assert await first.cells() == {}
            revs = {key: await first.cas(key, 0, key.encode()) for key in MANY_KEYS}
            await first.cas("short", 0, b"x", ttl=100)
            await first.cas("gone", 0, b"x", ttl=0.001)
            await first.delete("many.3", revs["many.3"])
            await append(first, "a log", b"x")
            deadline = time.monotonic() + 10
            while await first.load("gone") is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            found: dict[str, Lasting] = {}
            while page := await second.cells(next(reversed(found), ""), limit=7):
                assert len(page) <= 7
                assert not page.keys() & found.keys()
                found.update(page)
            short = found.pop("short").ttl
            assert short is not None
            assert 50 < short <= 100
            assert found == {key: ((key.encode(), revs[key]), None) for key in MANY_KEYS - {"many.3"}}
