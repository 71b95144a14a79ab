"""Broadcasts between two pods, each with its own connections, and who is here. Tabs are the real consumer with a stub for the socket."""

from __future__ import annotations

import asyncio
import functools
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import nats
import psycopg

from benchmarks import nats as over_nats
from benchmarks import postgres as over_postgres
from benchmarks.harness import Benchmark
from benchmarks.live import TABS, Socket, closed, opened, site
from benchmarks.postgres import dsn
from benchmarks.state import Bench
from via_state.live.announcing.announcement import Notice
from via_state.live.announcing.announcer import announcer_of
from via_state.pod.attendance import attendance_of
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

TIMES = 40
TEXT = "x" * 300
#: Seconds in which all come, and in which all go.
CROWD = 2.0
#: Says something to all tabs; gives when all have it.
Say = Callable[[], Coroutine[Any, Any, None]]


class Gathering:
    """Counts who was told."""

    def __init__(self, count: int) -> None:
        self._count, self._left, self._all = count, count, asyncio.Event()

    def tell(self) -> None:
        self._left -= 1
        if not self._left:
            self._all.set()

    async def wait(self) -> None:
        await self._all.wait()
        self._left = self._count
        self._all.clear()


class _Tab(Socket):
    def __init__(self, consumer: Callable[[Any, Any, Any], Awaitable[None]], told: Gathering) -> None:
        self._told = told
        super().__init__(consumer)

    async def _send(self, message: dict[str, Any]) -> None:
        await super()._send(message)
        if '"b":' in message.get("text", ""):
            self._told.tell()


async def _median(say: Say) -> float:
    await say()
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await say()
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def _between_pods(new_pod: Callable[[], Pod], tabs: int) -> float:
    here, there = new_pod(), new_pod()

    async def work() -> float:
        told = Gathering(tabs)
        sockets = await opened(there, tabs, lambda consumer: _Tab(consumer, told))
        await there.thread.acall(announcer_of(there).carrier.holds())

        async def say() -> None:
            await here.thread.acall(announcer_of(here).say(Notice(TEXT, "info")))
            await told.wait()

        found = await _median(say)
        await closed(sockets)
        return found

    try:
        with site(), use_pod(there):
            return asyncio.run(work())
    finally:
        here.close()
        there.close()


# The same by hand ---------------------------------------------------------------------------------------------

#: Gives what publishes; what is heard calls the function.
Connected = Callable[[Callable[[], Coroutine[Any, Any, None]]], Any]


def _by_hand(connected: Connected, tabs: int) -> float:
    async def work() -> float:
        told = Gathering(tabs)

        async def send(message: dict[str, Any]) -> None:
            assert message["text"]
            told.tell()

        async def hear() -> None:
            for _ in range(tabs):
                await send({"type": "websocket.send", "text": '{"b":{"kind":"notify","text":"hello"}}'})

        async with connected(hear) as publish:

            async def say() -> None:
                await publish()
                await told.wait()

            return await _median(say)

    return asyncio.run(work())


@asynccontextmanager
async def _with_psycopg(hear: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[Say]:
    async with (
        await psycopg.AsyncConnection.connect(dsn(), autocommit=True) as speaks,
        await psycopg.AsyncConnection.connect(dsn(), autocommit=True) as listens,
    ):
        await listens.execute("LISTEN raw_broadcast")

        async def listen() -> None:
            async for _ in listens.notifies():
                await hear()

        async def publish() -> None:
            await speaks.execute("SELECT pg_notify('raw_broadcast', %s)", (TEXT,))

        listening = asyncio.ensure_future(listen())
        yield publish
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def _with_nats(hear: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[Say]:
    speaks, listens = [await nats.connect(os.environ["VIA_BENCH_NATS"]) for _ in range(2)]

    async def heard(message: Any) -> None:
        await hear()

    await listens.subscribe("raw.broadcast", cb=heard)
    await listens.flush()
    yield lambda: speaks.publish("raw.broadcast", TEXT.encode())
    await speaks.close()
    await listens.close()


# Who is here --------------------------------------------------------------------------------------------------


def _crowd() -> float:
    """Statements per second while all come and go, the beats and looks at others among them."""
    pod, statements = over_postgres.new_pod(), 0
    key, spec = Bench.here.key, Bench.here.definition.spec()

    def counted(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        async def count(*args: Any, **more: Any) -> Any:
            nonlocal statements
            statements += 1
            return await verb(*args, **more)

        return count

    for name in ("cas", "load_many"):
        setattr(pod.backplane, name, counted(getattr(pod.backplane, name)))
    attendance = attendance_of(pod)

    async def each(do: Callable[[str], None]) -> None:
        for number in range(TABS):
            pod.thread.soon(do, f"{number:04}")
            if number % 20 == 19:
                await asyncio.sleep(CROWD * 20 / TABS)

    async def until(count: int) -> None:
        while len(await Bench.here.using(pod).aread()) != count:
            await asyncio.sleep(0.05)

    async def work() -> float:
        began = time.perf_counter()
        await each(lambda id: attendance.come(key, spec, id, id))
        await until(TABS)
        await each(lambda id: attendance.go(key, id, asleep=False))
        await until(0)
        return statements / (time.perf_counter() - began)

    try:
        return asyncio.run(work())
    finally:
        pod.close()


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    found = []
    backplanes: list[tuple[str, Callable[[], Pod], Connected]] = [
        ("postgres", over_postgres.new_pod, _with_psycopg),
        ("nats", over_nats.new_pod, _with_nats),
    ]
    for id, tabs in (("broadcast-1000", TABS), ("broadcast-carrier", 1)):
        for name, new_pod, connected in backplanes:
            found.append(
                Benchmark(
                    f"{id}-{name}",
                    "ms",
                    functools.partial(_between_pods, new_pod, tabs),
                    functools.partial(_by_hand, connected, tabs),
                    f"from a broadcast on one pod until the last of {tabs:,} tabs of another has it, stub send; raw: NOTIFY, or a "
                    "publish, and a loop that awaits each send",
                    lower_is_better=True,
                    rounds=3,
                )
            )
    found.append(
        Benchmark(
            "presence-1000",
            "statements/s",
            _crowd,
            None,
            f"of one pod while {TABS:,} people come and go within {2 * CROWD:.0f} s, and the 5 s after which they are gone",
            lower_is_better=True,
            rounds=1,
        )
    )
    return found
