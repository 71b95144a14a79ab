"""What every service must stand, whatever it does: a class of tests to derive from."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Any

import pytest

from via_state.exceptions import Closed
from via_state.runtime.service import Service


class Interrupt(Exception):
    """Raised into a phase."""


class ServiceKit(ABC):
    """Derive a test class, and say how a service of the kind is made."""

    @abstractmethod
    def make(self) -> Service:
        """A new service that was not started."""

    async def test_it_starts_drains_and_stops(self) -> None:
        service = self.make()
        assert not service.running
        await service.start()
        assert service.running
        await service.drain()
        assert not service.running
        await service.stop()

    async def test_each_phase_happens_once_however_often_it_is_asked_for(self) -> None:
        service = self.make()
        phases = _count_phases(service)
        await asyncio.gather(service.start(), service.start())
        await service.start()
        await asyncio.gather(service.drain(), service.drain())
        await asyncio.gather(service.stop(), service.stop())
        await service.stop()
        assert phases == ["start", "drain", "stop"]

    async def test_without_a_start_nothing_is_drained_or_stopped(self) -> None:
        service = self.make()
        phases = _count_phases(service)
        await service.drain()
        await service.stop()
        assert phases == []

    async def test_it_runs_once(self) -> None:
        service = self.make()
        await service.start()
        await service.stop()
        with pytest.raises(Closed):
            await service.start()

    @pytest.mark.parametrize("ending", ["drain", "stop"])
    async def test_a_start_that_takes_long_is_ended(self, ending: str) -> None:
        service = self.make()
        begun, phases = asyncio.Event(), _count_phases(service)

        async def start() -> None:
            begun.set()
            await asyncio.Event().wait()

        service._start = start  # type: ignore[method-assign]
        starting = asyncio.ensure_future(service.start())
        await begun.wait()
        await getattr(service, ending)()
        with pytest.raises(Closed):
            await starting
        await service.stop()
        assert phases == ["stop"]

    async def test_a_stop_ends_a_drain_that_takes_long(self) -> None:
        service = self.make()
        begun = asyncio.Event()
        await service.start()

        async def drain() -> None:
            begun.set()
            await asyncio.Event().wait()

        service._drain = drain  # type: ignore[method-assign]
        draining = asyncio.ensure_future(service.drain())
        await begun.wait()
        await service.stop()
        await draining

    async def test_what_its_start_raises_is_raised_and_gives_back_what_it_took(self) -> None:
        service = self.make()
        phases, start = _count_phases(service), service._start

        async def fail() -> None:
            await start()
            raise Interrupt

        service._start = fail  # type: ignore[method-assign]
        with pytest.raises(Interrupt):
            await service.start()
        with pytest.raises(Closed):
            await service.start()
        assert not service.running
        await service.stop()
        assert phases == ["start", "stop"]

    async def test_a_drain_that_fails_is_raised_and_the_stop_still_happens(self) -> None:
        service = self.make()
        phases = _count_phases(service)
        await service.start()

        async def fail() -> None:
            raise Interrupt

        service._drain = fail  # type: ignore[method-assign]
        with pytest.raises(Interrupt):
            await service.drain()
        await service.stop()
        assert phases == ["start", "stop"]

    async def test_who_waits_may_be_cancelled_and_the_phase_is_not(self) -> None:
        service = self.make()
        phases, start = _count_phases(service), service._start
        released = asyncio.Event()

        async def slow() -> None:
            await released.wait()
            await start()

        service._start = slow  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(service.start())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        released.set()
        await service.start()
        assert phases == ["start"]
        await service.stop()


def _count_phases(service: Service) -> list[str]:
    """The phases of a service, as they happen."""
    phases: list[str] = []

    def count(name: str) -> None:
        phase = getattr(service, f"_{name}")

        async def counted() -> Any:
            phases.append(name)
            await phase()

        setattr(service, f"_{name}", counted)

    for name in ("start", "drain", "stop"):
        count(name)
    return phases


def texts(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING, about: str = "The test") -> list[str]:
    """What was logged about a test's own things, from ``level`` on: pods of other tests may log while they end."""
    said = [record.getMessage() for record in caplog.records if record.levelno >= level]
    return [one for one in said if one.startswith(about)]
