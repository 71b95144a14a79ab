"""A part of a process that is started, drained and stopped on one event loop; and several of them as one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from via_state.exceptions import Closed

logger = logging.getLogger("via_state.runtime")


class Service:
    """Runs once: new, started, drained, stopped. A subclass overrides `_start`, `_drain` and `_stop`, as far as it needs them.

    Each phase happens at most once, however often and from however many tasks it is asked for; whoever asks meanwhile waits
    for it and gets its outcome. The three methods of a subclass therefore need no guards:

    * ``_start`` may raise: then ``_stop`` runs, and `start` raises what it raised.
    * ``_drain`` finishes what is under way and takes nothing new. Without a start it does not run; one that is under way is ended.
    * ``_stop`` gives back what ``_start`` took, also of a start that failed or was interrupted by `stop`. Without a start it does not run.
    """

    #: What a process that runs it does for the others, in words; empty where every process runs it.
    role = ""
    _starting: asyncio.Task[None] | None = None
    _draining: asyncio.Task[None] | None = None
    _stopping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What log lines call it."""
        return type(self).__name__

    @property
    def running(self) -> bool:
        """Whether `start` has ended well, and neither `drain` nor `stop` has begun."""
        start = self._starting
        if start is None or not start.done() or self._ending:
            return False
        return not start.cancelled() and start.exception() is None

    @property
    def _ending(self) -> bool:
        return self._draining is not None or self._stopping is not None

    def begin(self) -> None:
        """Start, and do not wait for it: what the start raises is logged. On the loop; twice is harmless."""
        if self._starting is None and self._stopping is None:
            self._starting = _task(self._run_start)
            self._starting.add_done_callback(self._log_start)

    def _log_start(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed to start.", self.name, exc_info=error)

    async def start(self) -> None:
        """Begin. Raises what ``_start`` raises, and `Closed` for a service that was stopped."""
        if self._stopping is not None:
            raise Closed(f"{self.name} was stopped; make a new one.")
        if self._starting is None:
            self._starting = _task(self._run_start)
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            if self._ending and self._starting.cancelled():
                raise Closed(f"{self.name} was stopped while it started.") from None
            raise

    async def drain(self) -> None:
        """Finish what is under way, take nothing new. Raises what ``_drain`` raises."""
        if self._draining is None:
            if self._starting is None or self._stopping is not None:
                return
            self._draining = _task(self._finish)
        try:
            await asyncio.shield(self._draining)
        except asyncio.CancelledError:
            if not (self._draining.cancelled() and self._stopping is not None):
                raise  # else a stop ended the draining, and those who waited for it need not know

    async def stop(self) -> None:
        """End, whatever was reached. Raises what ``_stop`` raises."""
        if self._stopping is None:
            self._stopping = _task(self._end)
        await asyncio.shield(self._stopping)

    async def _run_start(self) -> None:
        try:
            await self._start()
        except Exception:
            if self._stopping is None:
                self._stopping = _task(self._stop)
                await asyncio.wait([self._stopping])
                if (error := self._stopping.exception()) is not None:
                    logger.error("%s failed to start, and then to stop.", self.name, exc_info=error)
            raise

    async def _finish(self) -> None:
        assert self._starting is not None
        self._starting.cancel()  # where it waits for a server, it may wait for ever
        await asyncio.wait([self._starting])
        if not self._starting.cancelled() and self._starting.exception() is None:
            await self._drain()

    async def _end(self) -> None:
        if self._starting is None:
            return
        for phase in (self._starting, self._draining):
            if phase is not None and not phase.done():
                phase.cancel()
                await asyncio.wait([phase])
        await self._stop()

    async def _start(self) -> None:
        """Begin; return when the service works."""

    async def _drain(self) -> None:
        """Finish what is under way."""

    async def _stop(self) -> None:
        """Give everything back."""


class ServiceGroup(Service):
    """Several services as one: started in their order, drained and stopped in reverse.

    A part that fails to start stops those before it, and `start` raises its error. A part that fails to drain or to stop is logged, and keeps no other one from it.
    """

    def __init__(self, *services: Service) -> None:
        self._services = list(services)
        self._begun: list[Service] = []

    @property
    def services(self) -> tuple[Service, ...]:
        """The parts, in the order of their start."""
        return tuple(self._services)

    def include(self, *services: Service) -> None:
        """More parts, before the start."""
        self._services.extend(services)

    async def add(self, service: Service) -> None:
        """One more part, started at once where the group runs."""
        self._services.append(service)
        if self.running:
            self._begun.append(service)
            await service.start()

    async def remove(self, *services: Service) -> None:
        """These parts leave: drained, then stopped, the last one first."""
        leaving = [one for one in self._begun if one in services]
        self._services = [one for one in self._services if one not in services]
        await self._each(leaving, lambda one: one.drain, "drain")
        await self._each(leaving, lambda one: one.stop, "stop")
        self._begun = [one for one in self._begun if one not in leaving]

    async def _start(self) -> None:
        for one in self._services:
            self._begun.append(one)
            await one.start()

    async def _drain(self) -> None:
        await self._each(self._begun, lambda one: one.drain, "drain")

    async def _stop(self) -> None:
        await self._each(self._begun, lambda one: one.stop, "stop")

    async def _each(
        self,
        services: list[Service],
        phase: Callable[[Service], Callable[[], Coroutine[Any, Any, None]]],
        verb: str,
    ) -> None:
        for one in reversed(services):
            try:
                await phase(one)()
            except Exception:
                logger.exception("%s failed to %s; the others are not affected.", one.name, verb)


def _task(phase: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(phase())
    task.add_done_callback(
        lambda task: task.cancelled() or task.exception()
    )  # whoever waits for it gets the error
    return task
