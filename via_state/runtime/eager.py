"""Run a coroutine at once as far as it comes without waiting: most writes to a socket wait for nothing."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from typing import Any

if sys.version_info >= (3, 12):

    def start(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Start ``work`` on the running ``loop``. None where it is over; else the task that it continues in.

        Raises what ``work`` raises at once.
        """
        task = asyncio.Task(work, loop=loop, eager_start=True)
        if not task.done():
            return task
        task.result()
        return None

else:

    def start(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Start ``work`` on the running ``loop``. None where it is over; else the task that it continues in.

        Raises what ``work`` raises at once. Until it first waits, ``work`` has no task of its own.
        """
        try:
            awaited = work.send(None)
        except StopIteration:
            return None
        return loop.create_task(_rest(work, awaited))

    async def _rest(work: Coroutine[Any, Any, None], awaited: Any) -> None:
        await _driven(work, awaited)

    @types.coroutine
    def _driven(work: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
        """What the task awaits is what the coroutine, which has begun already, awaits."""
        while True:
            try:
                try:
                    answer = yield awaited
                except BaseException as error:
                    awaited = work.throw(error)
                else:
                    awaited = work.send(answer)
            except StopIteration:
                return
