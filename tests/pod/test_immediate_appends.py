"""In memory an append waits for nothing: it is made where it is called, and keeps all that other appends keep."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from tests.pod.board import Add, Board
from via_state import telemetry
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.memory_log import MemoryLog
from via_state.core.records import GENESIS, Position
from via_state.exceptions import AppendTooLarge, Closed, LoopEnded
from via_state.pod.pod import Pod
from via_state.pod.writing.immediate import IN_A_ROW
from via_state.testing import pods

WAIT = 20.0


@pytest.fixture
def two() -> Iterator[tuple[Pod, Pod]]:
    with pods(2) as (first, second):
        yield first, second


def test_a_sync_append_needs_no_turn_of_the_loop(two: tuple[Pod, Pod]) -> None:
    pod, reader = two
    numbers = Board.numbers.using(pod)
    assert Board.numbers.using(reader).read() == []
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(WAIT)

    pod.thread.loop.call_soon_threadsafe(hold)
    assert held.wait(WAIT)
    caller = threading.Thread(target=lambda: [numbers.append(Add(number)) for number in range(3)])
    caller.start()
    caller.join(WAIT / 2)
    waited = caller.is_alive()
    go.set()
    caller.join()
    assert not waited
    last = numbers.append(Add(3))
    assert Board.numbers.using(reader).read(at_least=last, timeout=WAIT) == [0, 1, 2, 3]


def test_what_is_appended_is_folded_here_when_it_returns(two: tuple[Pod, Pod]) -> None:
    numbers = Board.numbers.using(two[0])
    assert numbers.read() == []
    for number in range(20):
        numbers.append(Add(number))
        assert numbers.read() == list(range(number + 1))


def test_threads_and_tasks_keep_each_callers_order(two: tuple[Pod, Pod]) -> None:
    pod, reader = two
    numbers = Board.numbers.using(pod)
    assert Board.numbers.using(reader).read() == []
    found: dict[int, list[int]] = {}

    def sync(caller: int) -> None:
        found[caller] = [numbers.append(Add(caller * 1000 + n), wait=n % 2 == 0) for n in range(50)]

    async def task(caller: int) -> None:
        found[caller] = [await numbers.aappend(Add(caller * 1000 + n), wait=n % 2 == 0) for n in range(50)]

    async def tasks(first: int) -> None:
        await asyncio.gather(*(task(caller) for caller in range(first, first + 3)))

    threads = [threading.Thread(target=sync, args=(caller,)) for caller in range(3)]
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks(3))))
    threads.append(threading.Thread(target=lambda: pod.thread.call(tasks(6))))
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    offsets = [offset for one in found.values() for offset in one]
    assert sorted(offsets) == list(range(1, 451))
    assert all(one == sorted(one) for one in found.values())
    folded = Board.numbers.using(reader).read(at_least=numbers.append(Add(-1)), timeout=WAIT)
    for caller, own in found.items():
        assert [folded[offset - 1] for offset in own] == [caller * 1000 + n for n in range(50)]


async def test_a_task_that_only_appends_lets_others_have_turns(two: tuple[Pod, Pod]) -> None:
    numbers = Board.numbers.using(two[0])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    for _ in range(5 * IN_A_ROW):
        await numbers.aappend(Add(1), wait=False)
    task.cancel()
    assert turns >= 4


def test_an_append_in_the_middle_of_another_one_gets_another_offset() -> None:
    start = Position("epoch", 0, "")
    log, inner = MemoryLog("epoch", start, start), list[Position]()

    def interrupted(last: int) -> int:
        """As the handler of a signal is called between two steps."""
        if len(inner) < 3:
            inner.append(GENESIS)
            inner[-1] = log.append(f"{len(inner):032x}", 2, b"inner", None)
        return last + 1

    outer = log.append("f" * 32, 1, b"outer", interrupted)
    assert sorted(one.offset for one in (*inner, outer)) == [2, 4, 6, 7]
    assert [pack.first for pack in log.packs] == [1, 3, 5, 7]
    assert log.last == outer


def test_appends_are_counted_and_refused_as_everywhere(two: tuple[Pod, Pod]) -> None:
    pod, _ = two
    numbers, told, failed = Board.numbers.using(pod), list[telemetry.Appended](), list[telemetry.AppendFailed]()
    telemetry.flush()
    telemetry.Appended.subscribe(told.append)
    telemetry.AppendFailed.subscribe(failed.append)
    try:
        numbers.append_many([Add(1), Add(2)])
        telemetry.flush()
        pod.backplane.max_append_records = 1
        with pytest.raises(AppendTooLarge):
            numbers.append_many([Add(1), Add(2)])
        pod.close()
        pod.thread.call(pod.backplane.close())
        with pytest.raises(Closed):
            numbers.append(Add(3))
    finally:
        telemetry.Appended.unsubscribe(told.append)
        telemetry.AppendFailed.unsubscribe(failed.append)
    assert [(one.key, one.events, len(one.seconds)) for one in told] == [(Board.numbers.key, [2], 1)]
    assert [(one.reason, one.calls) for one in failed] == [("too_large", 1), ("unavailable", 1)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_pod_of_the_parent_refuses_in_a_forked_child(two: tuple[Pod, Pod]) -> None:
    numbers = Board.numbers.using(two[0])
    numbers.append(Add(1))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            numbers.append(Add(2))
        except LoopEnded:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert numbers.append(Add(3)) == 2


def test_a_class_that_appends_in_its_own_way_is_asked() -> None:
    class Own(MemoryBackplane):
        calls = 0

        async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
            self.calls += 1
            return await super().append(key, append_id, count, data)

    plane = Own()
    with pods(1, plane) as (pod,):
        Board.numbers.using(pod).append(Add(1))
    assert plane.calls == 1
