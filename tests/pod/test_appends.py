"""Appending: order, grouping, and what happens when the backplane fails."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.test import override_settings

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Add, Board
from via_state import Offset
from via_state.exceptions import AppendOutcomeUnknown, AppendTooLarge, BackplaneUnavailable, Closed, EventRefused
from via_state.pod.pod import Pod

SHORT = override_settings(VIA_STATE={"APPEND_TIMEOUT": 0.2})


async def test_an_append_is_folded_when_it_returns(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)
    assert await numbers.aread() == []
    for number in range(20):
        await numbers.aappend(Add(number))
        assert (await numbers.aread())[-1] == number


async def test_offsets_carry_their_epoch_and_rise(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)
    first = await numbers.aappend(Add(1))
    rest = await numbers.aappend_many([Add(2), Add(3)])
    assert isinstance(first, Offset)
    assert list(rest) == [2, 3]
    assert rest[0].epoch == first.epoch == rest[-1].epoch
    assert rest[0:2] == [2, 3]


async def test_append_many_is_all_or_none(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)
    with pytest.raises(EventRefused):
        await numbers.aappend_many([Add(1), Add("two")])  # type: ignore[arg-type]
    with pytest.raises(EventRefused):
        await numbers.aappend_many([])
    with pytest.raises(EventRefused, match=r"Write append\("):
        await numbers.aappend_many(Add(1))  # type: ignore[arg-type]
    assert await numbers.aread() == []


async def test_concurrent_appends_travel_together_in_each_callers_order(
    pod: Pod, backplane: FaultyBackplane
) -> None:
    numbers = Board.numbers.using(pod)

    async def caller(base: int) -> None:
        for number in range(10):
            await numbers.aappend(Add(base + number))

    await asyncio.gather(*(caller(base * 100) for base in range(30)))
    found = await numbers.aread()
    assert sorted(found) == sorted(base * 100 + number for base in range(30) for number in range(10))
    for base in range(30):
        mine = [number for number in found if number // 100 == base]
        assert mine == sorted(mine)
    assert backplane.calls["append"] < 300, "appends were not grouped"


async def test_a_group_stays_within_what_the_backplane_takes(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.max_append_records = 4
    numbers = Board.numbers.using(pod)
    offsets = await asyncio.gather(*(numbers.aappend(Add(number)) for number in range(30)))
    assert sorted(offsets) == list(range(1, 31))
    assert await numbers.aread() == list(range(30))


async def test_an_append_too_large_is_refused(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.inner.max_append_bytes = backplane.max_append_bytes = 10
    with pytest.raises(AppendTooLarge):
        await Board.numbers.using(pod).aappend(Add(1))


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_failing_append_is_tried_again_and_lands_once(
    pod: Pod, backplane: FaultyBackplane, fault: Fault
) -> None:
    backplane.fail("append", fault, fault, fault)
    numbers = Board.numbers.using(pod)
    assert await numbers.aappend(Add(1)) == 1
    assert await numbers.aappend(Add(2)) == 2
    assert await numbers.aread() == [1, 2]


@SHORT
async def test_a_backplane_that_stays_away_is_said_and_nothing_is_written(
    pod: Pod, backplane: FaultyBackplane
) -> None:
    backplane.down = True
    numbers = Board.numbers.using(pod)
    with pytest.raises(BackplaneUnavailable):
        await numbers.aappend(Add(1))
    backplane.down = False
    await numbers.aappend(Add(2))
    assert await numbers.aread() == [2]


@SHORT
async def test_an_outcome_that_stays_unknown_says_exactly_that(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.fail("append", Fault.LOST_ANSWER, *[Fault.BEFORE] * 1000)
    with pytest.raises(AppendOutcomeUnknown, match="may or may not be in the log"):
        await Board.numbers.using(pod).aappend(Add(1))
    backplane.faults.clear()
    assert await Board.numbers.using(pod).aread() == [1]


async def test_a_fold_that_does_not_come_never_hides_the_acknowledgement(
    pod: Pod, backplane: FaultyBackplane
) -> None:
    numbers = Board.numbers.using(pod)
    await numbers.aread()
    backplane.fail("read", *[Fault.BEFORE] * 1000)
    with override_settings(VIA_STATE={"FOLD_TIMEOUT": 0.1}):
        offset = await numbers.aappend(Add(1))
    backplane.faults.clear()
    assert offset == 1
    assert await numbers.aread(at_least=offset) == [1]


async def test_a_cancelled_append_harms_no_other(pod: Pod, backplane: FaultyBackplane) -> None:
    numbers = Board.numbers.using(pod)
    backplane.fail("append", Fault.BEFORE)
    tasks = [asyncio.ensure_future(numbers.aappend(Add(number))) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[2], asyncio.CancelledError)
    found = await numbers.aread(at_least=max(offset for offset in done if isinstance(offset, Offset)))
    assert [number for number in found if number != 2] == [0, 1, 3, 4]


def test_threads_append_side_by_side(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)

    def work(base: int) -> None:
        for number in range(50):
            numbers.append(Add(base + number))

    threads = [threading.Thread(target=work, args=(base * 1000,)) for base in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(numbers.read()) == len(set(numbers.read())) == 300


def test_a_closed_pod_says_so(pod: Pod, peer: Pod) -> None:
    Board.numbers.using(pod).append(Add(1))
    pod.thread.call(pod.backplane.close())
    with pytest.raises(Closed):
        Board.numbers.using(pod).append(Add(2))
