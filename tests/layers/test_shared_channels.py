"""Channels that any process may read: one of them gets each message."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.layers.conftest import Layer, Make
from tests.layers.messages import of, soon
from via_state.layers import layer as layers


async def test_exactly_one_of_several_processes_gets_a_message(make: Make) -> None:
    sender, *readers = layers_ = [make(capacity=100) for _ in range(4)]
    got: list[int] = []

    async def read(layer: Layer) -> None:
        while True:
            got.append((await layer.receive("worker"))["number"])

    reading = [asyncio.ensure_future(read(layer)) for layer in readers for _ in range(2)]
    for number in range(60):
        await layers_[number % 4].send("worker", of(number))
    deadline = time.monotonic() + 30
    while len(got) < 60:
        assert time.monotonic() < deadline, got
        await asyncio.sleep(0.01)
    await asyncio.gather(*(sender.send("worker", of(100 + number)) for number in range(20)))
    while len(got) < 80:
        assert time.monotonic() < deadline, got
        await asyncio.sleep(0.01)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    assert sorted(got) == [*range(60), *range(100, 120)]


async def test_a_message_waits_where_it_was_sent_until_a_process_reads(two: tuple[Layer, Layer]) -> None:
    here, there = two
    await here.send("worker", of(1))
    assert await soon(there.receive("worker")) == of(1)


async def test_a_reader_that_left_does_not_keep_a_message_to_itself(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asked, and is gone when the message comes: another process that asks gets it from there."""
    monkeypatch.setattr(layers, "WANT_AGAIN", 0.05)
    here, left, comes = make(), make(), make()
    gone = asyncio.ensure_future(left.receive("worker"))
    deadline = time.monotonic() + 10
    while not here._wanted.get("worker"):
        await here._attach()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await here.send("worker", of(1))
    assert await soon(comes.receive("worker")) == of(1)
