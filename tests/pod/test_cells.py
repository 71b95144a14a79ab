"""Current values: caching, contention, and writes whose answer is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from django.test import override_settings

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Board, eventually
from via_state import State, StateApp
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import Revision
from via_state.declarations.registry import registry
from via_state.exceptions import (
    BackplaneUnavailable,
    CellFromNewerVersion,
    CellUnreadable,
    UpdateContended,
    UpdateOutcomeUnknown,
    ValueRefused,
    ValueTooLarge,
)
from via_state.pod.pod import Pod


async def test_a_write_reaches_the_other_pod(pod: Pod, peer: Pod) -> None:
    assert await Board.hits.using(peer).aread() == 0
    assert await Board.hits.using(pod).aset(3) == 3
    assert await Board.hits.using(pod).aread() == 3, "read your write"
    async with asyncio.timeout(10):
        while await Board.hits.using(peer).aread() != 3:
            await asyncio.sleep(0.005)


async def test_a_cold_pod_reads_the_stored_value_at_once(pod: Pod, peer: Pod) -> None:
    await Board.hits.using(pod).aset(3)
    assert await Board.hits.using(peer).aread() == 3


async def test_reading_again_asks_nobody(pod: Pod, backplane: FaultyBackplane) -> None:
    await Board.hits.using(pod).aread()
    before = backplane.calls["load_many"]
    for _ in range(10):
        assert Board.hits.using(pod).read() == 0
    assert backplane.calls["load_many"] == before


def test_threads_on_two_pods_lose_no_increment(pod: Pod, peer: Pod) -> None:
    def work(hits: StateApp[int]) -> None:
        for _ in range(50):
            hits.update(lambda old: old + 1)

    threads = [
        threading.Thread(target=work, args=(Board.hits.using(one),)) for one in (pod, peer) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    Board.hits.using(pod).update(lambda old: old)
    assert Board.hits.using(pod).read() == 300


@pytest.mark.parametrize("fault", list(Fault))
async def test_an_update_whose_call_fails_counts_once(pod: Pod, backplane: FaultyBackplane, fault: Fault) -> None:
    backplane.fail("cas", fault, fault, None, fault)
    for number in range(1, 4):
        assert await Board.hits.using(pod).aupdate(lambda old: old + 1) == number
    assert await Board.hits.using(pod).aread() == 3


async def test_a_lost_answer_is_recognised_under_later_writes(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    await Board.hits.using(pod).aset(10)
    await Board.hits.using(peer).aread()
    backplane.fail("cas", Fault.LOST_ANSWER)
    backplane.fail("load_many", *[Fault.BEFORE] * 3)
    ours = asyncio.ensure_future(Board.hits.using(pod).aupdate(lambda old: old + 1))
    await eventually(lambda: not backplane.faults["cas"], "the write")
    async with asyncio.timeout(10):
        while True:  # the other pod writes on top before we can look
            with contextlib.suppress(BackplaneUnavailable):
                await Board.hits.using(peer).aupdate(lambda old: old + 100)
                break
    assert await ours == 11
    assert await Board.hits.using(pod).aupdate(lambda old: old) == 111


@override_settings(VIA_STATE={"UPDATE_TIMEOUT": 0.2})
async def test_an_outcome_that_stays_unknown_is_said(pod: Pod, backplane: FaultyBackplane) -> None:
    await Board.hits.using(pod).aread()
    backplane.fail("cas", Fault.LOST_ANSWER, *[Fault.BEFORE] * 1000)
    backplane.fail("load_many", *[Fault.BEFORE] * 1000)
    with pytest.raises(UpdateOutcomeUnknown):
        await Board.hits.using(pod).aupdate(lambda old: old + 1)


@override_settings(VIA_STATE={"UPDATE_TIMEOUT": 0.2, "READ_TIMEOUT": 0.2})
async def test_a_backplane_away_is_said_and_nothing_is_written(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.down = True
    started = time.monotonic()
    for call in (Board.hits.using(pod).aread(), Board.hits.using(pod).aset(5), Board.hits.using(pod).areset()):
        with pytest.raises(BackplaneUnavailable):
            await call
    assert time.monotonic() - started < 5
    backplane.down = False
    assert await Board.hits.using(pod).aread() == 0


async def test_what_the_function_raises_is_raised_and_nothing_is_written(pod: Pod) -> None:
    def fail(old: int) -> int:
        raise ZeroDivisionError("mine")

    async def afail(old: int) -> int:
        raise ZeroDivisionError("mine")

    await Board.hits.using(pod).aset(5)
    for function in (fail, afail):
        with pytest.raises(ZeroDivisionError, match="mine"):
            await Board.hits.using(pod).aupdate(function)
    with pytest.raises(ValueRefused):
        await Board.hits.using(pod).aset("six")  # type: ignore[arg-type]
    assert await Board.hits.using(pod).aread() == 5


async def test_a_value_that_is_too_large_is_refused_by_every_verb(pod: Pod, backplane: FaultyBackplane) -> None:
    names = Board.names.using(pod)
    await names.aset(["ann"])
    backplane.inner.max_value_bytes = 200
    large = ["x" * 200]
    awaited: list[Callable[[], Awaitable[list[str]]]] = [
        lambda: names.aset(large),
        lambda: names.aupdate(lambda _: large),
    ]
    for call in awaited:
        with pytest.raises(ValueTooLarge, match=r"'tests.names' takes 2\d\d bytes"):
            await call()
    blocking: list[Callable[[], list[str]]] = [lambda: names.set(large), lambda: names.update(lambda _: large)]
    for verb in blocking:
        with pytest.raises(ValueTooLarge):
            await asyncio.to_thread(verb)
    assert await names.aread() == ["ann"]


async def test_an_async_function_updates(pod: Pod) -> None:
    async def double(old: int) -> int:
        await asyncio.sleep(0)
        return old * 2

    await Board.hits.using(pod).aset(21)
    assert await Board.hits.using(pod).aupdate(double) == 42


async def test_a_sync_update_refuses_what_must_be_awaited_and_names_the_twin(pod: Pod) -> None:
    async def double(old: int) -> int:
        return old * 2

    for change in (lambda: Board.hits.using(pod).update(double), lambda: Board.hits.using(pod).set(double(1))):  # type: ignore[arg-type]
        with pytest.raises(ValueRefused, match="await aupdate"):
            await asyncio.to_thread(change)
    assert await Board.hits.using(pod).aread() == 0


async def test_changing_the_old_value_in_place_changes_no_other_view(pod: Pod) -> None:
    names = Board.names.using(pod)
    await names.aset(["a"])
    seen = await names.aread()

    def broken(old: list[str]) -> list[str]:
        old.append("b")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await names.aupdate(broken)
    assert await names.aread() == ["a"] == seen


@override_settings(VIA_STATE={"UPDATE_TIMEOUT": 0.1})
async def test_losing_every_round_is_said(pod: Pod, peer: Pod) -> None:
    async def overtaken(old: int) -> int:
        await Board.hits.using(peer).aset(old + 1000)
        return old + 1

    with pytest.raises(UpdateContended, match="StateAppEvents"):
        await Board.hits.using(pod).aupdate(overtaken)


async def test_reset_brings_the_zero_value_back_everywhere(pod: Pod, peer: Pod) -> None:
    await Board.hits.using(pod).aset(5)
    assert await Board.hits.using(peer).aread() == 5
    await Board.hits.using(pod).areset()
    await Board.hits.using(pod).areset()
    assert await Board.hits.using(pod).aread() == 0
    async with asyncio.timeout(10):
        while await Board.hits.using(peer).aread() != 0:
            await asyncio.sleep(0.005)
    assert await Board.hits.using(peer).aupdate(lambda old: old + 1) == 1


@pytest.fixture
def two_versions() -> tuple[StateApp[int], StateApp[str]]:
    """The same cell as older and newer code declare it."""
    with registry.isolated():

        class Old(State):
            value = StateApp(int, key="tests.versions", version=1)

        class New(State):
            value = StateApp(str, key="tests.versions", version=2)

        return Old.value, New.value


async def test_a_newer_value_is_never_overwritten(
    pod: Pod, peer: Pod, two_versions: tuple[StateApp[int], StateApp[str]]
) -> None:
    old, new = two_versions[0].using(pod), two_versions[1].using(peer)
    await old.aset(5)
    await new.areset(force=True)
    await new.aset("new")
    await pod.adrain()
    for call in (lambda: old.aset(6), lambda: old.aupdate(lambda value: value), lambda: old.areset()):
        with pytest.raises(CellFromNewerVersion):
            await call()
    assert await new.aread() == "new"


async def test_an_undecodable_value_is_refused_and_kept(
    pod: Pod, peer: Pod, two_versions: tuple[StateApp[int], StateApp[str]]
) -> None:
    with registry.isolated():

        class Other(State):
            value = StateApp(str, key="tests.versions")

    stored, reader = Other.value.using(peer), two_versions[0].using(pod)
    await stored.aset("text")
    for call in (reader.aread, lambda: reader.aset(1), lambda: reader.aupdate(lambda value: value), reader.areset):
        with pytest.raises(CellUnreadable, match=r"reset\(force=True\)"):
            await call()
    assert await stored.aread() == "text"
    await reader.areset(force=True)
    assert await reader.aread() == 0


async def test_a_value_that_becomes_unreadable_stays_the_last_good_one(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    await Board.hits.using(pod).aset(5)
    cell = await pod.thread.acall(backplane.load(Board.hits.key))
    assert cell is not None
    await pod.thread.acall(backplane.cas(Board.hits.key, cell.revision, b"garbage"))
    await pod.adrain()
    assert await Board.hits.using(pod).aread() == 5
    with pytest.raises(CellUnreadable):
        await Board.hits.using(peer).aread()


async def test_changes_follow_a_cell(pod: Pod, peer: Pod) -> None:
    seen = []
    async with asyncio.timeout(10), contextlib.aclosing(Board.hits.using(pod).changes()) as changes:
        async for value in changes:
            seen.append(value)
            if value == 3:
                break
            await Board.hits.using(peer).aset(value + 1)
    assert seen[0] == 0
    assert seen[-1] == 3


async def test_a_restored_store_is_believed_although_its_revisions_are_lower(
    pod: Pod, backplane: FaultyBackplane
) -> None:
    hits = Board.hits.using(pod)
    for number in range(5):
        await hits.aset(number)
    inner = backplane.inner
    assert isinstance(inner, MemoryBackplane)
    cell = inner._cells[Board.hits.key]
    address = Board.hits._address("read", writes=False)
    assert address is not None
    old = address.spec.codec.encode(2, write_id="old", writes=(), pause=0)
    revision = Revision(cell.revision.number - 3, "old")
    inner._cells[Board.hits.key] = replace(cell, data=old, revision=revision)
    assert await hits.aupdate(lambda value: value + 1) == 3
    assert await hits.aread() == 3
