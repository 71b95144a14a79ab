"""Updates of one cell at the same time: those of a process take turns, and who is beaten by another process begins with its value."""

from __future__ import annotations

import asyncio
import threading
from unittest import mock

import pytest

from tests.faults import Fault, FaultyBackplane
from tests.pod.board import Board
from via_state.pod.pod import Pod
from via_state.pod.reading import cell_copy
from via_state.pod.writing import update_turns

#: In place of a time that a slow machine may need: nothing of these tests waits for it.
NEVER = 1000.0


async def test_whoever_is_beaten_begins_again_with_the_winners_value(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    mine, theirs = Board.hits.using(pod), Board.hits.using(peer)
    await mine.aset(1)
    await theirs.aset(2)
    backplane.deaf = True
    seen = []

    async def overtaken(old: int) -> int:
        seen.append(old)
        if len(seen) == 1:
            await theirs.aset(10)
        return old + 1

    await pod.adrain()
    asked = dict(backplane.calls)
    backplane.fail("load_many", *[Fault.BEFORE] * 1000)
    async with asyncio.timeout(10):
        assert await mine.aupdate(overtaken) == 11
    assert seen == [2, 10]
    assert backplane.calls["cas"] - asked["cas"] == 3, "the other pod's, one that was refused, one that was not"
    assert backplane.calls["load_many"] == asked["load_many"]


async def test_updates_of_one_process_do_not_beat_each_other(pod: Pod, backplane: FaultyBackplane) -> None:
    hits, runs = Board.hits.using(pod), 0
    await hits.aset(0)
    before = backplane.calls["cas"]

    async def one_more(old: int) -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        return old + 1

    with mock.patch.object(update_turns, "LONGEST", NEVER):
        found = await asyncio.gather(*(hits.aupdate(one_more) for _ in range(20)))
    assert sorted(found) == list(range(1, 21))
    assert runs == 20
    assert backplane.calls["cas"] - before == 20


def test_threads_of_one_process_do_not_beat_each_other(pod: Pod, backplane: FaultyBackplane) -> None:
    hits, runs = Board.hits.using(pod), []
    hits.set(0)
    before = backplane.calls["cas"]
    begin = threading.Barrier(8)

    def one_more(old: int) -> int:
        runs.append(old)
        return old + 1

    def work() -> None:
        begin.wait()
        for _ in range(10):
            hits.update(one_more)

    threads = [threading.Thread(target=work) for _ in range(8)]
    with mock.patch.object(update_turns, "LONGEST", NEVER):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert hits.read() == 80
    # Two that find a free turn at the same moment may both take it.
    assert len(runs) <= 88
    assert backplane.calls["cas"] - before <= 88


async def test_a_function_that_waits_for_another_update_of_its_cell_keeps_it_waiting_for_a_moment_only(
    pod: Pod,
) -> None:
    hits = Board.hits.using(pod)
    await hits.aset(0)
    seen = []

    async def outer(old: int) -> int:
        seen.append(old)
        if len(seen) == 1:
            await hits.aupdate(lambda value: value + 10)
        return old + 1

    async with asyncio.timeout(10):
        assert await hits.aupdate(outer) == 11
    assert seen == [0, 10]


async def test_an_update_that_ends_in_any_way_leaves_its_turn(pod: Pod) -> None:
    hits = Board.hits.using(pod)
    await hits.aset(0)

    def fail(old: int) -> int:
        raise ZeroDivisionError

    began = asyncio.Event()

    async def endless(old: int) -> int:
        began.set()
        await asyncio.Event().wait()
        return old

    with mock.patch.object(update_turns, "LONGEST", NEVER):
        async with asyncio.timeout(10):
            with pytest.raises(ZeroDivisionError):
                await hits.aupdate(fail)
            with pytest.raises(ZeroDivisionError):
                await asyncio.to_thread(hits.update, fail)
            first = asyncio.ensure_future(hits.aupdate(endless))
            await began.wait()
            waiting = [asyncio.ensure_future(hits.aupdate(lambda old: old + 1)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            first.cancel()
            assert await waiting[0] == 1
            assert await waiting[2] == 2
            with pytest.raises(asyncio.CancelledError):
                await waiting[1]
            assert await hits.aset(7) == 7


async def test_a_doorbell_is_not_answered_by_a_load_of_what_an_update_brings(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    mine, theirs = Board.hits.using(pod), Board.hits.using(peer)
    await theirs.aset(0)
    with mock.patch.object(cell_copy, "HOT_PAUSE", NEVER):
        await mine.aset(1)
        before = backplane.calls["load_many"]
        for number in range(5):
            await theirs.aset(10 * number)
            assert await mine.aupdate(lambda old: old + 1) == 10 * number + 1
        assert await mine.aread() == 41
        assert backplane.calls["load_many"] == before
        await theirs.aset(50)
        copy = peer.replicas.loaded_cell(Board.hits.key)
        assert copy is not None
        async with asyncio.timeout(10):  # whoever waits for a value waits for no pause
            assert await pod.aget(Board.hits.key, copy.spec, at_least=copy.stored, timeout=10) == 50


async def test_a_doorbell_during_an_update_waits_for_what_becomes_of_the_update(pod: Pod, peer: Pod) -> None:
    mine, theirs = Board.hits.using(pod), Board.hits.using(peer)
    await mine.aset(1)
    await theirs.aset(2)
    await pod.adrain()
    copy = pod.replicas.loaded_cell(Board.hits.key)
    assert copy is not None
    seen, loads = [], []

    async def rung(old: int) -> int:
        seen.append(old)
        loads.append(copy.waiters.reads)  # of this pod alone
        if len(seen) == 1:
            before = copy._rang
            await theirs.aset(10)
            async with asyncio.timeout(10):
                while copy._rang == before or copy.task is not None:
                    await asyncio.sleep(0.001)
        return old + 1

    with mock.patch.multiple(cell_copy, HOT_PAUSE=0.0, UPDATE_PAUSE=NEVER):
        async with asyncio.timeout(10):
            assert await mine.aupdate(rung) == 11
    assert seen == [2, 10]
    assert loads[0] == loads[1]


async def test_a_long_update_keeps_a_pod_from_newer_values_for_a_moment_only(pod: Pod, peer: Pod) -> None:
    mine, theirs = Board.hits.using(pod), Board.hits.using(peer)
    await mine.aset(1)

    async def long(old: int) -> int:
        if old == 1:
            await theirs.aset(10)
            async with asyncio.timeout(10):
                async for value in mine.changes():
                    if value == 10:
                        break
        return old + 1

    assert await mine.aupdate(long) == 11
