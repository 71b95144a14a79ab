"""Drives the project's own backplane for some seconds, under a prefix of its own that is erased afterwards: `manage.py state_load`.

It appends as a process does, with appends of one key that wait together travelling together, or updates cells as `update` does. What it
measures is this process and the servers, not folds, handlers or views. Rows of the project are not touched.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.core.records import Append, Position
from via_state.exceptions import CASConflict, ViaStateError
from via_state.operations.refusal import Refused
from via_state.pod.writing.appender import Appender
from via_state.runtime.backoff import Backoff
from via_state.runtime.loop import LoopThread, current_loop

#: Of one core, events of one append of the store, and the part of all writers in one, from which they are what limits.
BUSY, TOGETHER, ALL = 0.85, 2.0, 0.75


@dataclass(frozen=True, slots=True)
class Load:
    """``writers`` at once, each waiting for its write before the next one, on ``keys`` keys, for ``seconds``; ``size`` bytes each."""

    writers: int = 16
    keys: int = 8
    size: int = 200
    seconds: float = 10.0
    cells: bool = False


@dataclass(slots=True)
class LoadReport:
    """What came of it. ``times``: seconds of each write, shortest first; ``store``: of each append of the store. ``cpu``: of one core."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)
    conflicts: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    writers: int = 0

    @property
    def rate(self) -> float:
        """Writes a second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    @property
    def together(self) -> float:
        """Events that one append of the store carried, on average."""
        return len(self.times) / len(self.store) if self.store else 0.0

    @property
    def limit(self) -> str:
        """What to change for more."""
        if self.cpu >= BUSY:
            return "this process, which kept one core busy. More processes write more."
        if self.conflicts > len(self.times):
            return "writers of the same cell, which lost more rounds than they won. More keys, or an event log, take more."
        if self.writers and self.together >= ALL * self.writers:
            return "the writers: one append of the store carried nearly all of them, and each waited for it. More writers write more."
        if self.together >= TOGETHER:
            return "the answers of the store: a key, and a connection, has one append under way. More keys, or POOL_SIZE, write more."
        return "the writers, each of which waited for its own write. More writers write more."

    def percentile(self, part: float, times: list[float] | None = None) -> float:
        """Seconds below which this part of the writes was done."""
        times = self.times if times is None else times
        return times[min(int(len(times) * part), len(times) - 1)] if times else 0.0


class _Timed:
    """A backplane whose appends are timed."""

    def __init__(self, inner: Backplane, times: list[float]) -> None:
        self._inner, self._times = inner, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        began = time.monotonic()
        last = await self._inner.append(key, append_id, count, data)
        self._times.append(time.monotonic() - began)
        return last

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        began = time.monotonic()
        found = await self._inner.append_many(appends)
        self._times.append(time.monotonic() - began)
        return found


def run(load: Load) -> LoadReport:
    """Write, and erase what was written, also when it is interrupted. Raises `ViaStateError` where nothing can be written at all."""
    kind: type[Backplane] = import_string(settings.BACKEND)
    if not kind.durable:
        raise Refused("The memory backplane has no server whose load could be tested. Set VIA_STATE['BACKEND'].")
    options: Mapping[str, Any] = {**settings.backplane_options(), "PREFIX": f"load-{secrets.token_hex(6)}"}
    backplane, thread = kind(options), current_loop()
    try:
        return thread.call(_drive(thread, backplane, load))
    finally:
        thread.call(_erase(backplane))


async def _erase(backplane: Backplane) -> None:
    try:
        await backplane.erase()
    finally:
        await backplane.close()


async def _drive(thread: LoopThread, backplane: Backplane, load: Load) -> LoadReport:
    report = LoadReport(writers=load.writers)
    appender = Appender(thread, _Timed(backplane, report.store), lambda key, last, pack: None)  # type: ignore[arg-type]
    text = "x" * max(load.size - 40, 1)
    data = msgspec.json.encode([["Load", 1, {"text": text}, {"t": time.time_ns() // 1_000_000}]])
    await _first(backplane, data, load.cells)
    began, used = time.monotonic(), time.process_time()
    until = began + load.seconds
    writers = [
        _update(backplane, f"load.{number % load.keys}", data, until, report)
        if load.cells
        else _append(appender, f"load.{number % load.keys}", data, until, report)
        for number in range(load.writers)
    ]
    await asyncio.gather(*writers)
    report.seconds = time.monotonic() - began
    report.cpu = (time.process_time() - used) / report.seconds
    report.times.sort()
    report.store.sort()
    await appender.close()
    return report


async def _first(backplane: Backplane, data: bytes, cells: bool) -> None:
    """Connect, and see that it can be written at all. Not timed."""
    if cells:
        await backplane.cas("load", None, data)
    else:
        await backplane.append("load", secrets.token_hex(16), 1, data)


async def _append(appender: Appender, key: str, data: bytes, until: float, report: LoadReport) -> None:
    while (began := time.monotonic()) < until:
        try:
            await appender.aappend(key, data, 1, folded=False)
        except ViaStateError as error:
            _failed(report, error)
        else:
            report.times.append(time.monotonic() - began)


async def _update(backplane: Backplane, key: str, data: bytes, until: float, report: LoadReport) -> None:
    while (began := time.monotonic()) < until:
        backoff = Backoff()
        try:
            while True:
                cell = await backplane.load(key)
                try:
                    await backplane.cas(key, None if cell is None else cell.revision, data)
                    break
                except CASConflict:
                    report.conflicts += 1
                    if time.monotonic() >= until:
                        return
                    await asyncio.sleep(random.random() * 0.01)
        except ViaStateError as error:
            _failed(report, error)
            await backoff.pause()
        else:
            report.times.append(time.monotonic() - began)


def _failed(report: LoadReport, error: ViaStateError) -> None:
    name = type(error).__name__
    report.errors[name] = report.errors.get(name, 0) + 1
