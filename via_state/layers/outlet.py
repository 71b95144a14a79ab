"""What a process says through the pod's loop, from other threads: all that waits takes one way there, and one way back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from via_state.exceptions import LoopEnded
from via_state.pod.pod import Pod
from via_state.runtime.kept_errors import again


class _Saying(NamedTuple):
    topic: str
    data: bytes
    loop: asyncio.AbstractEventLoop
    said: asyncio.Future[None]


class Outlet:
    """Publishes over one pod. From any event loop. What comes while a batch is under way is the next batch."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._lock = threading.Lock()
        self._waiting: list[_Saying] = []
        self._batch: list[_Saying] = []  # under way
        self._busy = False

    async def publish(self, topic: str, data: bytes) -> None:
        """Say it. Raises what the backplane raises, and `Closed`. What one caller says after the other keeps its order."""
        loop = asyncio.get_running_loop()
        if loop is self._pod.thread.loop:
            await self._pod.messages.publish(topic, data)
            return
        said: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append(_Saying(topic, data, loop, said))
            begins, self._busy = not self._busy, True
        if begins:
            try:
                self._pod.thread.submit(self._say()).add_done_callback(self._ended)
            except LoopEnded as error:
                self._fail(error)
        await said

    async def _say(self) -> None:
        """On the pod's loop, until nothing waits."""
        while self._take():
            try:
                errors = await self._pod.messages.publish_many([one[:2] for one in self._batch])
            except Exception as error:
                errors = [again(error) for _ in self._batch]
            _answer(self._batch, errors)

    def _take(self) -> bool:
        with self._lock:
            self._batch, self._waiting = self._waiting, []
            self._busy = bool(self._batch)
        return self._busy

    def _ended(self, saying: Future[None]) -> None:
        """All was said, or the pod's loop ended before."""
        if saying.cancelled():
            self._fail(LoopEnded("The background thread of via_state has ended. What was not sent yet is lost."))
        elif (error := saying.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            left = [*self._batch, *self._waiting]
            self._batch, self._waiting, self._busy = [], [], False
        _answer(left, [again(error) for _ in left])


def _answer(batch: Sequence[_Saying], errors: Sequence[BaseException | None]) -> None:
    """Tell each who waits, with one call for each of their loops."""
    answers: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], BaseException | None]]] = {}
    for one, error in zip(batch, errors, strict=True):
        answers.setdefault(one.loop, []).append((one.said, error))
    for loop, those in answers.items():
        try:
            loop.call_soon_threadsafe(_end, those)
        except RuntimeError:
            continue  # the loop is closed, and nobody waits


def _end(those: Sequence[tuple[asyncio.Future[None], BaseException | None]]) -> None:
    for said, error in those:
        if not said.done():
            if error is None:
                said.set_result(None)
            else:
                said.set_exception(error)
