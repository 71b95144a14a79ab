"""A coroutine that is started at once: what waits for nothing is over, and what waits continues in a task."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from via_state.runtime.eager import start


def started(work: Any) -> asyncio.Task[None] | None:
    return start(work, asyncio.get_running_loop())


async def test_what_waits_for_nothing_is_over_when_it_was_started() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert started(work()) is None
    assert done == [1]


async def test_what_it_raises_at_once_reaches_the_caller() -> None:
    async def work() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        started(work())


async def test_what_waits_continues_when_it_may() -> None:
    gate, done = asyncio.Event(), []

    async def work() -> None:
        done.append("begun")
        await asyncio.sleep(0)
        await gate.wait()
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        done.append("over")

    task = started(work())
    assert task is not None
    assert done == ["begun"]
    gate.set()
    await task
    assert done == ["begun", "over"]


async def test_what_it_raises_later_is_its_tasks() -> None:
    gate = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await gate
        except ConnectionError as error:
            raise ValueError("closed") from error

    task = started(work())
    assert task is not None
    gate.set_exception(ConnectionError())
    with pytest.raises(ValueError, match="closed"):
        await task


async def test_one_that_waits_can_be_cancelled() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    task = started(work())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["ended"]
