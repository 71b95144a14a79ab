"""channels-redis: from `group_send` in this process to `receive` in another one."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from benchmarks.peers.others.jobs import serve
from benchmarks.peers.sizes import SECONDS, SENDERS, SINGLE, TEXT

LAYERS: dict[str, Callable[..., Any]] = {
    "lists": functools.partial(RedisChannelLayer, capacity=100_000),
    "pubsub": RedisPubSubChannelLayer,
}


def new_layer(kind: str) -> Any:
    return LAYERS[kind](hosts=[os.environ["VIA_PEER_REDIS"]])


def receive(kind: str, what: str) -> None:
    """In the other process: print the age of each message, or that the last is there."""

    async def follow() -> None:
        layer = new_layer(kind)
        channel = await layer.new_channel()
        await layer.group_add("bench", channel)
        print("ready", flush=True)
        while True:
            stamp = (await layer.receive(channel))["stamp"]
            if what == "ages":
                print(time.monotonic() - stamp, flush=True)
            elif stamp == 1.0:
                print("last", flush=True)

    asyncio.run(follow())


def measure(kind: str, what: str) -> float:
    """The median of milliseconds until the other process has one message, or messages a second."""
    command = [sys.executable, "-c", f"from {__name__} import receive; receive({kind!r}, {what!r})"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    heard = child.stdout

    async def one_by_one(layer: Any) -> float:
        ages = []
        for _ in range(SINGLE):
            await layer.group_send("bench", {"type": "bench", "stamp": time.monotonic(), "text": TEXT})
            ages.append(float(await asyncio.to_thread(heard.readline)) * 1000)
        return sorted(ages)[len(ages) // 2]

    async def many(layer: Any) -> float:
        count, ends = 0, time.perf_counter() + SECONDS

        async def sender() -> None:
            nonlocal count
            while time.perf_counter() < ends:
                await layer.group_send("bench", {"type": "bench", "stamp": 0.0, "text": TEXT})
                count += 1

        started = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(SENDERS)))
        await layer.group_send("bench", {"type": "bench", "stamp": 1.0, "text": TEXT})
        assert (await asyncio.to_thread(heard.readline)).strip() == "last"
        return count / (time.perf_counter() - started)

    async def run() -> float:
        layer = new_layer(kind)
        try:
            return await (one_by_one if what == "ages" else many)(layer)
        finally:
            await layer.flush()

    try:
        assert heard.readline().strip() == "ready"
        return asyncio.run(run())
    finally:
        child.kill()
        child.communicate()


def main() -> None:
    jobs = {
        f"{kind}-{what}": functools.partial(measure, kind, what) for kind in LAYERS for what in ("ages", "last")
    }
    serve("channels-redis", jobs)
