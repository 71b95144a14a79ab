"""Live pages without sockets: the hub and the consumer as a web server calls them, over the memory backplane."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.template import engines
from django.test import override_settings

from benchmarks.harness import Benchmark
from benchmarks.postgres import child_of, line_of
from benchmarks.state import Bench, Late, Opened, Order, Orders, Tick
from via_state.live.announcing.audience import ALL
from via_state.live.protocol.frames import PROTOCOL
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import dumps
from via_state.live.rendering.renderer import arender, code_of, render
from via_state.live.serving.consumer import TabConsumer
from via_state.live.serving.hubs import hub_here
from via_state.live.visitors.tickets import issue_time
from via_state.live.visitors.tokens import NodeToken, Ticket, sign_ticket
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing import pods

TABS, APPENDS, ROWS = 1000, 100, 200
ROW = "<tr id='o{{ order.number }}'><td>{{ order.number }}</td><td>{{ order.item }}</td><td>{{ order.price|floatformat:2 }}</td>"
TABLE = (
    "{% load via_state %}{% via_for order in orders %}"
    + ROW
    + "{% if order.late %}<td>late</td>{% endif %}</tr>{% endvia_for %}"
)
PLAIN = TABLE.replace("{% load via_state %}", "").replace("via_for", "for")


def site() -> Any:
    """Settings with the template of the table."""
    loader = ("django.template.loaders.locmem.Loader", {"bench/table.html": TABLE})
    backend = "django.template.backends.django.DjangoTemplates"
    return override_settings(
        TEMPLATES=[
            {"BACKEND": backend, "OPTIONS": {"loaders": [("django.template.loaders.cached.Loader", [loader])]}}
        ],
        ALLOWED_HOSTS=["*"],
    )


def measured(work: Callable[[Pod], Coroutine[Any, Any, float]]) -> float:
    """Run it on an event loop of its own, with a pod over a new memory backplane."""
    with site(), pods(1) as (pod,), use_pod(pod):
        return asyncio.run(work(pod))


# Tabs ---------------------------------------------------------------------------------------------------------

SCOPE = {
    "type": "websocket",
    "path": "/via/live/",
    "scheme": "ws",
    "subprotocols": [PROTOCOL],
    "headers": [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", b"csrftoken=abc")],
}
TICKET = Ticket(language="en", timezone="UTC", path="/", issued=int(time.time()))


class Socket:
    """What a web server gives a consumer. It keeps nothing that is sent, and acknowledges it."""

    def __init__(self, consumer: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent = 0
        self.frames = 0
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(consumer(SCOPE, self._inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] != "websocket.send":
            return
        self.sent += 1
        self.frames += '"f":' in message["text"]
        if self.sent % 16 == 0:
            self.say(ack=self.sent)

    def say(self, **line: Any) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(line)})

    async def close(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


def nodes() -> list[list[Any]]:
    """Three nodes as a page has them: two texts and a shared block."""
    visitor = Visitor.of_ticket(TICKET)
    found = []
    for spec in (
        NodeSpec.of("text", "benchmarks.Bench.ticks", {}),
        NodeSpec.of("text", "benchmarks.Bench.hits", {}),
        NodeSpec.of("block", "bench/table.html", {}),
    ):
        content = render(spec, visitor)
        token = NodeToken(spec, "", tuple(sorted(content.at)), issue_time(), code_of(spec)).sign()
        found.append([token, json.loads(dumps(content.at))])
    return found


async def opened(pod: Pod, count: int, make: Callable[[Any], Socket] = Socket) -> list[Socket]:
    """So many tabs that are current."""
    asked = await asyncio.to_thread(nodes)
    sockets = [make(TabConsumer()) for _ in range(count)]
    for socket in sockets:
        socket.say(hello=sign_ticket(TICKET), nodes=asked)
    while not all(socket.frames for socket in sockets):
        await asyncio.sleep(0)
    await hub_here(pod).settle()
    return sockets


async def closed(sockets: list[Socket]) -> None:
    for socket in sockets:
        await socket.close()


async def _connect(pod: Pod) -> float:
    await closed(await opened(pod, 10))
    began = time.process_time()
    sockets = await opened(pod, TABS)
    spent = time.process_time() - began
    await closed(sockets)
    return spent * 1000 / TABS


class Bare(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data='{"f": []}')


async def _connect_bare(pod: Pod) -> float:
    began = time.process_time()
    sockets = [Socket(Bare()) for _ in range(TABS)]
    while not all(socket.sent for socket in sockets):
        await asyncio.sleep(0)
    spent = time.process_time() - began
    await closed(sockets)
    return spent * 1000 / TABS


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _memory(pod: Pod) -> float:
    await closed(await opened(pod, 10))
    before = resident()
    sockets = await opened(pod, TABS)
    used = resident() - before
    await closed(sockets)
    return used / TABS / 1024


async def _memory_bare(pod: Pod) -> float:
    before = resident()
    sockets = [Socket(Bare()) for _ in range(TABS)]
    while not all(socket.sent for socket in sockets):
        await asyncio.sleep(0)
    used = resident() - before
    await closed(sockets)
    return used / TABS / 1024


def memory_here(whose: str) -> float:
    """KiB of a tab, in a process that does nothing else."""
    return measured(_memory if whose == "ours" else _memory_bare)


def _memory_of(whose: str) -> float:
    child = child_of("tab-memory", whose)
    try:
        return float(line_of(child))
    finally:
        child.kill()
        child.communicate()


async def _deliver(pod: Pod) -> float:
    sockets = await opened(pod, TABS)
    hub, found = hub_here(pod), []
    for _ in range(20):
        sent = [socket.sent for socket in sockets]
        began = time.process_time()
        assert hub.deliver(ALL, '{"b":{"kind":"notify","text":"hello","level":"info"}}') == TABS
        while any(socket.sent == before for socket, before in zip(sockets, sent, strict=True)):
            await asyncio.sleep(0)
        found.append((time.process_time() - began) * 1000)
    await closed(sockets)
    return statistics.median(found)


async def _one_by_one(pod: Pod) -> float:
    async def send(message: dict[str, Any]) -> None:
        message["text"].count("f")

    found = []
    for _ in range(20):
        began = time.process_time()
        for _ in range(TABS):
            await send({"type": "websocket.send", "text": '{"b":{"kind":"notify","text":"hello","level":"info"}}'})
        found.append((time.process_time() - began) * 1000)
    return statistics.median(found)


async def _appends(pod: Pod) -> float:
    """CPU that one append costs the thread which folds, and with it every other writer."""
    clock = time.pthread_getcpuclockid(pod.thread.thread.ident or 0)
    await Bench.ticks.aread()
    began = time.clock_gettime(clock)
    for _ in range(APPENDS):
        await Bench.ticks.aappend(Tick())
        await asyncio.sleep(0.002)
    return (time.clock_gettime(clock) - began) * 1000 / APPENDS


async def _followed(pod: Pod) -> float:
    sockets = await opened(pod, TABS)
    found = await _appends(pod)
    await closed(sockets)
    return found


# Rows ---------------------------------------------------------------------------------------------------------


def book() -> list[Order]:
    return [Order(number, f"item {number}", number * 1.5, number % 7 == 0) for number in range(ROWS)]


async def _row(pod: Pod) -> float:
    await Orders.book.aappend(Opened(book()))
    spec, visitor, found = NodeSpec.of("block", "bench/table.html", {}), Visitor.of_ticket(TICKET), []
    await arender(spec, visitor)
    for number in range(50):
        await Orders.book.aappend(Late(number))
        began = time.perf_counter()
        await arender(spec, visitor)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


async def _rows(pod: Pod) -> float:
    template, rows = engines["django"].from_string(PLAIN), book()
    found = []
    for _ in range(10):
        began = time.perf_counter()
        template.render({"orders": rows})
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def benchmarks() -> list[Benchmark]:
    def lower(
        id: str, unit: str, ours: Callable[[Pod], Any], raw: Callable[[Pod], Any], note: str, rounds: int = 5
    ) -> Benchmark:
        return Benchmark(
            id, unit, lambda: measured(ours), lambda: measured(raw), note, lower_is_better=True, rounds=rounds
        )

    bare = "a bare AsyncWebsocketConsumer"
    return [
        lower(
            "connect",
            "ms CPU",
            _connect,
            _connect_bare,
            f"a tab with 3 current nodes connects, of {TABS:,}; raw: {bare}",
        ),
        Benchmark(
            "tab-memory",
            "KiB",
            lambda: _memory_of("ours"),
            lambda: _memory_of("raw"),
            f"a tab with 3 nodes, without the server's part, of {TABS:,}; raw: {bare}",
            lower_is_better=True,
            rounds=1,
        ),
        lower(
            "broadcast-hub",
            "ms CPU",
            _deliver,
            _one_by_one,
            f"a broadcast to {TABS:,} tabs, stub send; raw: awaiting one by one",
        ),
        lower(
            "followers",
            "ms CPU",
            _followed,
            _appends,
            f"the folding thread, for an append with {TABS:,} tabs on the key; raw: with none",
            3,
        ),
        lower(
            "row-of-200", "ms", _row, _rows, "one of 200 rows changed, via_for; raw: the template with a plain for"
        ),
    ]
