"""What a process says through the pod's loop, from other threads: all that waits takes one way there, and one way back."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from via_state.pod.pod import Pod


class _Saying(NamedTuple):
    topic: str
    data: bytes
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class Outlet:
    """Publishes over one pod. From any event loop."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._lock = threading.Lock()
        self._waiting: deque[_Saying] = deque()
        self._called = False
        self._batches: set[asyncio.Task[None]] = set()

    async def publish(self, topic: str, data: bytes) -> None:
        """Say it. Raises what the backplane raises, and `Closed`. What one caller says after the other keeps its order."""
        loop = asyncio.get_running_loop()
        if loop is self._pod.thread.loop:
            await self._pod.messages.publish(topic, data)
            return
        done: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append(_Saying(topic, data, loop, done))
            call, self._called = not self._called, True
        if call:
            try:
                self._pod.thread.soon(self._begin)
            except BaseException:
                self._called = False
                raise

        def end(error: BaseException) -> None:
            loop.call_soon_threadsafe(_answer, [(done, error)])

        forget = self._pod.thread.at_end(end)
        try:
            await done
        finally:
            forget()

    def _begin(self) -> None:
        """On the pod's loop."""
        with self._lock:
            self._called = False
            batch = list(self._waiting)
            self._waiting.clear()
        if batch:
            task = asyncio.get_running_loop().create_task(self._say(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _say(self, batch: list[_Saying]) -> None:
        saying = (self._pod.messages.publish(one.topic, one.data) for one in batch)
        results = await asyncio.gather(*saying, return_exceptions=True)
        answers: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], BaseException | None]]] = {}
        for one, result in zip(batch, results, strict=True):
            answers.setdefault(one.loop, []).append((one.done, result))
        for loop, those in answers.items():
            try:
                loop.call_soon_threadsafe(_answer, those)
            except RuntimeError:
                continue  # the loop is closed, and nobody waits


def _answer(those: Sequence[tuple[asyncio.Future[None], BaseException | None]]) -> None:
    for done, error in those:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
