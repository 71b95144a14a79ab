"""Readers in any event loop are told of changes, however many there are and however they leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.pod.board import Add, Board, eventually
from via_state.pod.pod import Pod
from via_state.pod.reading.subscribers import Subscribers


class Reader:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


async def reader(pod: Pod, callback: Callable[[], None], key: str = "numbers") -> Any:
    declared = getattr(Board, key)
    return await pod.subscribe(declared.key, declared.definition.spec(), callback)


async def test_a_change_wakes_a_loop_once_however_many_read_there(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = [Reader() for _ in range(1000)]
    for one in readers:
        await reader(pod, one)
    wakes: list[object] = []
    loop = asyncio.get_running_loop()
    soon = loop.call_soon_threadsafe

    def counted(callback: Any, *args: Any, **options: Any) -> Any:
        if getattr(callback, "__name__", "") == "wake":
            wakes.append(callback)
        return soon(callback, *args, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    for number in range(3):
        await Board.numbers.using(pod).aappend(Add(number))
        await eventually(lambda calls=number + 1: all(one.calls == calls for one in readers), "the calls")  # type: ignore[misc]
    assert len(wakes) == 3


async def test_a_cell_tells_its_readers_too(pod: Pod, peer: Pod) -> None:
    one = Reader()
    await Board.hits.using(pod).aread()
    await reader(pod, one, "hits")
    await Board.hits.using(peer).aset(7)
    await eventually(lambda: one.calls == 1, "the call")
    assert await Board.hits.using(pod).aread() == 7


async def test_who_left_is_not_called_and_the_others_are(pod: Pod) -> None:
    gone, stays = Reader(), Reader()
    leaving = await reader(pod, gone)
    staying = await reader(pod, stays)
    leaving.close()
    leaving.close()
    await Board.numbers.using(pod).aappend(Add(1))
    await eventually(lambda: stays.calls == 1, "the call")
    assert gone.calls == 0
    staying.close()
    projector = await pod.thread.acall(pod._log(Board.numbers.key, Board.numbers.definition.spec()))
    await eventually(lambda: not projector.subscribers, "the end of the group")


async def test_a_reader_that_is_cancelled_while_it_enters_leaves_nothing(pod: Pod) -> None:
    for _ in range(20):
        entering = asyncio.ensure_future(reader(pod, Reader()))
        await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        if not entering.cancelled():
            entering.result().close()
    projector = await pod.thread.acall(pod._log(Board.numbers.key, Board.numbers.definition.spec()))
    await eventually(lambda: not projector.subscribers, "the end of the group")


def test_a_loop_that_was_closed_is_forgotten() -> None:
    subscribers = Subscribers()

    def read() -> None:
        loop = asyncio.new_event_loop()
        subscribers.of(loop).callbacks[object()] = Reader()
        loop.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(60)
    assert subscribers
    subscribers.ring()
    assert not subscribers
