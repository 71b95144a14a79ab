"""Writers whose connection is cut again and again."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from testproject.servers.proxy import Proxy
from via_state.backplanes.base import Backplane
from via_state.core.records import Append, Position
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.testing.conformance.harness import new_id, read_all
from via_state.testing.conformance.many_logs import append_each, one_each

T = TypeVar("T")
WRITERS, APPENDS = 4, 60


async def persist(step: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask again until there is an answer, as a pod does."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await step()
        except (BackplaneUnavailable, OutcomeUnknown):
            assert time.monotonic() < deadline, "the backplane never came back"
            await asyncio.sleep(random.uniform(0, 0.02))


async def append_while_cut(plane: Backplane, proxy: Proxy, seed: int) -> list[int]:
    """Some write to one log while their connections are cut: each append is there once, in order. Returns all offsets."""
    chaos = random.Random(seed)
    landed, all_of_them = 0, WRITERS * APPENDS

    async def cut() -> int:
        cuts, next_cut = 0, 10
        while landed < all_of_them:
            if landed < next_cut:
                await asyncio.sleep(chaos.uniform(0, 0.002))
                continue
            next_cut = landed + chaos.randint(5, 25)
            if chaos.random() < 0.7:
                await asyncio.to_thread(proxy.sever)
            else:
                await asyncio.to_thread(proxy.cut)
                await asyncio.sleep(chaos.uniform(0, 0.05))
                await asyncio.to_thread(proxy.restore)
            cuts += 1
        return cuts

    async def write(name: int) -> list[Position]:
        nonlocal landed
        positions = []
        for number in range(APPENDS):
            append_id, data = new_id(), f"{name}:{number}".encode()
            positions.append(await persist(lambda i=append_id, d=data: plane.append("log", i, 1, d)))  # type: ignore[misc]
            landed += 1
        return positions

    cutting = asyncio.create_task(cut())
    written = await asyncio.gather(*(write(name) for name in range(WRITERS)))
    assert await cutting > 5
    found = await persist(lambda: read_all(plane, "log"))
    for name, positions in enumerate(written):
        mine = [(offset, data) for offset, data in found if data.startswith(b"%d:" % name)]
        assert mine == [(p.offset, f"{name}:{n}".encode()) for n, p in enumerate(positions)]
    assert len(found) == all_of_them
    return [offset for offset, _ in found]


async def append_many_while_cut(plane: Backplane, proxy: Proxy) -> None:
    """Some write to many logs at a time, new and known ones, while their connections are cut: each append is there once, in order."""
    chaos, landed = random.Random(4), 0
    keys = [f"log.{number}" for number in range(60)]
    written: dict[str, list[Append]] = {key: [] for key in keys}
    told: dict[str, list[Position]] = {key: [] for key in keys}

    async def cut() -> int:
        cuts, next_cut = 0, 2
        while landed < 40:
            await asyncio.sleep(chaos.uniform(0, 0.005))
            if landed >= next_cut:
                next_cut = landed + chaos.randint(1, 4)
                await asyncio.to_thread(proxy.sever)
                cuts += 1
        return cuts

    async def write(mine: list[str]) -> None:
        nonlocal landed
        for _ in range(10):
            train = one_each(*chaos.sample(mine, 12))
            answers = await persist(functools.partial(append_each, plane, train))
            for one in train:
                written[one.key].append(one)
                told[one.key].append(answers[one.key])
            landed += 1

    cutting = asyncio.create_task(cut())
    await asyncio.gather(*(write(keys[number::4]) for number in range(4)))
    assert await cutting > 3
    for key in keys:
        assert [position.record_id for position in told[key]] == [f"{one.append_id}-0" for one in written[key]]
        found = await persist(functools.partial(read_all, plane, key))
        assert [offset for offset, _ in found] == [position.offset for position in told[key]]


async def publish_while_cut(publisher: Backplane, hearer: Backplane, proxy: Proxy) -> None:
    """The hearer's connection is cut again and again: it hears again by itself, nothing twice, and nothing out of order."""
    heard: list[int] = []
    hearer.hear("topic", lambda data: heard.append(int(data)))
    number = 0

    async def until_heard_after(start: int) -> None:
        nonlocal number
        deadline = time.monotonic() + 60
        while not heard or heard[-1] < start:
            assert time.monotonic() < deadline, "the hearing never came back"
            number += 1
            await publisher.publish("topic", str(number).encode())
            await asyncio.sleep(0.005)

    await until_heard_after(1)
    for _ in range(8):
        await asyncio.to_thread(proxy.sever)
        await until_heard_after(number + 1)
    assert heard == sorted(set(heard))
