"""Thousands of tabs of one web process, over real sockets; the state is changed by another process, over PostgreSQL."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from subprocess import PIPE, Popen

from benchmarks.harness import Benchmark
from benchmarks.live import TICKET
from benchmarks.sockets import Crowd, cpu_of, web
from benchmarks.state import Bench, Tick
from testproject.servers.ports import HOST
from via_state.backplanes.postgres import PostgresBackplane
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import dumps
from via_state.live.rendering.renderer import render
from via_state.live.visitors.tickets import issue_time
from via_state.live.visitors.tokens import NodeToken, sign_ticket
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod

#: Seconds for which idle tabs are watched: each is pinged, and told that the server is there.
IDLE = 22.0
#: What the last rounds have seen besides their figure, by the id of the benchmark.
notes: dict[str, str] = {}


def environment() -> dict[str, str]:
    return {"VIA_DATABASE_PORT": os.environ["VIA_DATABASE_PORT"]}


class Appender:
    """A pod in this process, as another process has one."""

    def __init__(self) -> None:
        self.pod = Pod(PostgresBackplane({"DATABASE": "default", "PREFIX": "via"}))
        self.ticks = Bench.ticks.using(self.pod)
        self.count = self.ticks.read()

    def hello(self) -> str:
        """What a tab says that shows the count, and is current."""
        spec = NodeSpec.of("text", "benchmarks.Bench.ticks", {})
        with using_pod(self.pod):
            content = render(spec, Visitor.of_ticket(TICKET))
        token = NodeToken(spec, "", tuple(sorted(content.at)), issue_time()).sign()
        return json.dumps({"hello": sign_ticket(TICKET), "nodes": [[token, json.loads(dumps(content.at))]]})

    def append(self) -> bytes:
        """What the frames say that tell of it."""
        self.count += 1
        self.pod.thread.submit(self.ticks.aappend(Tick()))
        return b'"t","%d"' % self.count


def _run(work: Callable[[], Awaitable[float]]) -> float:
    async def run() -> float:
        return await work()

    return asyncio.run(run())


async def _times(crowd: Crowd, change: Callable[[], bytes], rounds: int) -> list[float]:
    """Milliseconds from each change until the last tab was told of it."""
    found = []
    for _ in range(rounds):
        await asyncio.sleep(0.1)  # the pace of a page allows 20 a second
        began = time.perf_counter()
        crowd.expect(change())
        await crowd.all()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _last(id: str, tabs: int, rounds: int) -> float:
    with web("application", environment()) as (_, port):
        appender = Appender()
        try:
            crowd = Crowd(port, appender.hello())

            async def work() -> float:
                await crowd.open(tabs)
                found = sorted(await _times(crowd, appender.append, rounds))
                crowd.close()
                notes[id] = f"90 of 100 within {found[int(len(found) * 0.9)]:.0f} ms"
                return statistics.median(found)

            return _run(work)
        finally:
            appender.pod.close()


def _post(port: int, text: str) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request("POST", "/", text)
    connection.getresponse().read()
    connection.close()


def _last_bare(tabs: int, rounds: int) -> float:
    with web("bare", environment()) as (_, port):
        crowd, numbers = Crowd(port, None), iter(range(1, 10_000))

        async def work() -> float:
            await crowd.open(tabs)

            def change() -> bytes:
                text = f'{{"f":[["ABCDEFGHIJKL",{{"bench.ticks":["abcdef",1,"abcdef"]}},"t","{next(numbers)}"]]}}'
                asyncio.get_running_loop().run_in_executor(None, _post, port, text)
                return text[-14:].encode()

            found = await _times(crowd, change, rounds)
            crowd.close()
            return statistics.median(found)

        return _run(work)


# Idle ---------------------------------------------------------------------------------------------------------


def _idle(name: str, tabs: int) -> float:
    appender = Appender()
    try:
        with web(name, environment()) as (process, port):
            crowd = Crowd(port, appender.hello() if name == "application" else None)

            async def work() -> float:
                await crowd.open(tabs)
                await asyncio.sleep(2)
                before = cpu_of(process.pid)
                await asyncio.sleep(IDLE)
                spent = cpu_of(process.pid) - before
                crowd.close()
                return 100 * spent / IDLE

            return _run(work)
    finally:
        appender.pod.close()


# A herd -------------------------------------------------------------------------------------------------------


class Visits:
    """Somebody who loads a page of the process all the time, from a process of their own."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "benchmarks.child", "visit", str(port)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self) -> float:
        """Milliseconds within which 99 of 100 visits were answered."""
        answer, _ = self._process.communicate("end\n", timeout=30)
        return float(answer)


def _herd(tabs: int) -> float:
    """Seconds from the end of a process until all of its tabs show, on another one, what was appended meanwhile."""
    with web("application", environment()) as (dies, first), web("application", environment()) as (_, second):
        appender = Appender()
        try:
            crowd = Crowd(first, appender.hello())

            async def work() -> float:
                await crowd.open(tabs)
                visits = await asyncio.to_thread(Visits, second)
                await asyncio.sleep(3)
                quiet = await asyncio.to_thread(visits.end)
                visits = await asyncio.to_thread(Visits, second)
                crowd.back_to = second
                await asyncio.sleep(6)  # the spread follows the number of tabs with the next word of the server
                crowd.expect(appender.append(), tabs)
                await crowd.all()
                crowd.expect(appender.append(), tabs)
                dies.kill()
                began = time.perf_counter()
                await crowd.all()
                took = time.perf_counter() - began
                beside = await asyncio.to_thread(visits.end)
                crowd.close()
                notes["herd"] = (
                    f"spread {crowd.spread:.1f} s; 99 of 100 pages beside it within {beside:.0f} ms, quiet {quiet:.0f} ms"
                )
                return took

            return _run(work)
        finally:
            appender.pod.close()


def benchmarks() -> list[Benchmark]:
    def told(id: str, tabs: int, rounds: int) -> Benchmark:
        note = f"append in one process until the last of {tabs:,} tabs of another one was told, {rounds} times; raw: a bare server sends to each"
        ours, raw = (lambda: _last(id, tabs, rounds)), (lambda: _last_bare(tabs, rounds))
        return Benchmark(id, "ms", ours, raw, note, lower_is_better=True, rounds=1, seen=lambda: notes[id])

    return [
        told("paint-1000", 1000, 30),
        told("fan-out-5000", 5000, 10),
        Benchmark(
            "idle-tabs",
            "% of a core",
            lambda: _idle("application", 2000),
            lambda: _idle("bare", 2000),
            f"2,000 tabs to which nothing happens, {IDLE:g} s; raw: bare sockets of the same server",
            lower_is_better=True,
            rounds=1,
        ),
        Benchmark(
            "herd",
            "s",
            lambda: _herd(2000),
            None,
            "2,000 tabs after their process was killed, until each shows on another one what was appended meanwhile",
            lower_is_better=True,
            rounds=1,
            seen=lambda: notes["herd"],
        ),
    ]
