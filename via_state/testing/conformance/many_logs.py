"""Appending to many logs at once. An adapter that leaves out what it is asked for keeps the contract too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from via_state.backplanes.base import Backplane
from via_state.core.records import GENESIS, Append, Position
from via_state.exceptions import AppendTooLarge, Closed, InvalidKey
from via_state.testing.conformance.harness import ODD_KEYS, Harness, append, new_id, read_all


def one_each(*keys: str, data: bytes = b"x") -> list[Append]:
    """One record for each of these logs."""
    return [Append(key, new_id(), 1, data) for key in keys]


async def append_one(plane: Backplane, one: Append) -> Position:
    """By itself."""
    return await plane.append(one.key, one.append_id, one.count, one.data)


async def append_each(plane: Backplane, appends: Sequence[Append]) -> dict[str, Position]:
    """What came of each, as a pod asks for it: what was left out is appended alone, with the same id."""
    found = await plane.append_many(appends)
    assert found.keys() <= {one.key for one in appends}
    answers: dict[str, Position] = {}
    for one in appends:
        answer = found.get(one.key)
        if answer is None:
            answer = await append_one(plane, one)
        if not isinstance(answer, Position):
            raise answer
        answers[one.key] = answer
    return answers


class ManyLogsConformance(Harness):
    async def test_appends_to_many_logs_are_as_each_alone(self) -> None:
        async with self.two() as (first, second):
            keys = [f"many.{number}" for number in range(50)] + ODD_KEYS
            for key in keys[::3]:
                await append(first, key, b"before")
            appends = [
                Append(key, new_id(), number % 4 + 1, f"{number}".encode()) for number, key in enumerate(keys)
            ]
            answers = await append_each(first, appends)
            for one in appends:
                batch = await second.read(one.key, GENESIS)
                pack = batch.packs[-1]
                assert (pack.id, pack.count, pack.data) == (one.append_id, one.count, one.data)
                assert answers[one.key] == batch.head == (await second.head(one.key)).position
                assert answers[one.key].record_id == f"{one.append_id}-{one.count - 1}"
            assert await first.append_many([]) == {}

    async def test_appends_to_many_logs_count_once(self) -> None:
        async with self.two() as (first, second):
            appends = one_each(*(f"again.{number}" for number in range(20)))
            before = await append_each(first, appends)
            some = [*appends[:10], *one_each(*(f"fresh.{number}" for number in range(10)))]
            after = await append_each(second, some)
            assert {key: before[key] for key in after if key in before} == {
                key: after[key] for key in after if key in before
            }
            assert await append_each(first, appends) == before
            for key in after.keys() | before.keys():
                assert len(await read_all(first, key)) == 1

    async def test_what_one_log_can_not_take_keeps_no_other_from_its_own(self) -> None:
        async with self.one() as plane:
            await append(plane, "first", b"x")
            plane.max_append_bytes = 10
            good = one_each("first", "second")
            bad = [Append("large", new_id(), 1, b"x" * 11), *one_each("a\0b", "a\ud800", "")]
            found = await plane.append_many([good[0], *bad, good[1]])
            for one in good:
                assert isinstance(found.get(one.key) or await append_one(plane, one), Position)
                assert (await read_all(plane, one.key))[-1][1] == b"x"
            for one in bad:
                if (error := found.get(one.key)) is not None:
                    assert isinstance(error, AppendTooLarge if one.key == "large" else InvalidKey)
            assert (await plane.head("large")).position.offset == 0

    async def test_many_logs_are_made_and_appended_to_from_two_sides(self) -> None:
        async with self.two() as planes:
            keys = [f"both.{number}" for number in range(40)]
            rounds = [[Append(key, new_id(), 1, b"x") for key in keys] for _ in range(6)]

            async def write(number: int) -> list[dict[str, Position]]:
                mine = [one[:: 1 - 2 * (number % 2)] for one in rounds[number::2]]  # one of them from the end
                return [await append_each(planes[number], one) for one in mine]

            answers = [one for found in await asyncio.gather(write(0), write(1)) for one in found]
            for key in keys:
                offsets = sorted(one[key].offset for one in answers)
                assert len(set(offsets)) == len(rounds)
                assert [offset for offset, _ in await read_all(planes[0], key)] == offsets
                assert len({one[key].epoch for one in answers}) == 1

    async def test_a_dropped_log_begins_a_new_epoch_among_many(self) -> None:
        async with self.one() as plane:
            before = await append_each(plane, one_each("kept", "dropped"))
            await plane.drop("dropped")
            after = await append_each(plane, one_each("kept", "dropped", "new"))
            assert after["kept"].epoch == before["kept"].epoch
            assert after["dropped"].epoch != before["dropped"].epoch
            assert len(await read_all(plane, "dropped")) == 1

    async def test_many_logs_of_a_closed_backplane(self) -> None:
        async with self.one() as plane:
            await plane.close()
            try:
                assert await plane.append_many(one_each("a", "b")) == {}
            except Closed:
                return
            with pytest.raises(Closed):
                await append_one(plane, *one_each("a"))
