"""Live pages under pressure, without sockets: a key that changes all the time, and tabs that take nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from benchmarks.harness import Benchmark
from benchmarks.live import TICKET, Socket, closed, measured, nodes, opened, resident
from benchmarks.state import Bench, Tick
from via_state.live.serving.consumer import TabConsumer
from via_state.live.visitors.tokens import sign_ticket
from via_state.pod.pod import Pod

EVENTS, BATCH, HOT_TABS = 1000, 10, 100
TABS, STALLED, CHANGES = 1000, 100, 60
notes: dict[str, str] = {}


async def _folds(pod: Pod) -> float:
    """How many of `EVENTS` a second were folded in each of three seconds."""
    await Bench.ticks.aread()
    total, began = 3 * EVENTS, time.perf_counter()
    for number in range(0, total, BATCH):
        await asyncio.sleep(max(0.0, began + number / EVENTS - time.perf_counter()))
        last = await Bench.ticks.aappend_many([Tick()] * BATCH)
    await Bench.ticks.aread(at_least=last[-1])
    return total / (time.perf_counter() - began)


async def _hot(pod: Pod) -> float:
    sockets = await opened(pod, HOT_TABS)
    before, began = sum(one.frames for one in sockets), time.perf_counter()
    found = await _folds(pod)
    frames = sum(one.frames for one in sockets) - before
    notes["hot-key"] = f"{frames / HOT_TABS / (time.perf_counter() - began):.1f} frames a second for each tab"
    await closed(sockets)
    return found


class Stalled(Socket):
    """A tab whose network takes a few messages, and then nothing; it acknowledges none of them."""

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent += 1
        self.frames += '"f":' in message.get("text", "")
        if self.sent > 5 and message["type"] == "websocket.send":
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def _times(sockets: list[Socket]) -> float:
    """The median of milliseconds from a change until each of these tabs was told of it."""
    found = []
    for _ in range(CHANGES):
        await asyncio.sleep(0.06)
        before, began = [one.frames for one in sockets], time.perf_counter()
        await Bench.ticks.aappend(Tick())
        while not all(one.frames > frames for one, frames in zip(sockets, before, strict=True)):
            await asyncio.sleep(0)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


async def _beside(pod: Pod) -> float:
    sockets = await opened(pod, TABS - STALLED)
    asked = await asyncio.to_thread(nodes)
    stalled = [Stalled(TabConsumer()) for _ in range(STALLED)]
    for one in stalled:
        one.say(hello=sign_ticket(TICKET), nodes=asked)
    while not all(one.frames for one in stalled):
        await asyncio.sleep(0)
    before = resident()
    found = await _times(sockets)
    notes["slow-tabs"] = (
        f"{max(0, resident() - before) / STALLED / 1024:.1f} KiB more for each tab that takes nothing"
    )
    await closed(sockets)
    for one in stalled:
        await one.close()
    return found


async def _alone(pod: Pod) -> float:
    sockets = await opened(pod, TABS - STALLED)
    found = await _times(sockets)
    await closed(sockets)
    return found


def benchmarks() -> list[Benchmark]:
    return [
        Benchmark(
            "hot-key",
            "events/s",
            lambda: measured(_hot),
            lambda: measured(_folds),
            f"folds of a key that gets {EVENTS:,} events a second and that {HOT_TABS} tabs show; raw: that none shows",
            rounds=3,
            seen=lambda: notes["hot-key"],
        ),
        Benchmark(
            "slow-tabs",
            "ms",
            lambda: measured(_beside),
            lambda: measured(_alone),
            f"a change until {TABS - STALLED} tabs are told of it, beside {STALLED} that take nothing; raw: without those",
            lower_is_better=True,
            rounds=3,
            seen=lambda: notes["slow-tabs"],
        ),
    ]
