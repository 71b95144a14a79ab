"""What the verbs that read do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from via_state import telemetry, tracing
from via_state.conf import settings
from via_state.core.offsets import Offset, check_offset
from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec
from via_state.core.visibility import Shown
from via_state.exceptions import BackplaneRefused, EpochChanged, KeyHalted, NotCaughtUp
from via_state.pod.reading.cell_copy import CellCopy, Read
from via_state.pod.reading.projector import ProjectionStatus
from via_state.pod.reading.replicas import Replicas
from via_state.runtime.backoff import patiently
from via_state.runtime.kept_errors import again
from via_state.tracing import Waited

T = TypeVar("T")
V = TypeVar("V")


def _tell(key: str, template: str, outcome: str, began: float, waited: Waited | None) -> None:
    telemetry.ReadWaited(key, template, outcome).emit()
    if waited is not None:
        waited(outcome, time.monotonic() - began)


class Reads:
    """On the pod's loop, but for `loaded`. `log` and `cell` are called where somebody reads, whose span learns of the wait."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def log(
        self, key: str, spec: LogSpec[V], at_least: Offset | None, timeout: float | None
    ) -> Coroutine[Any, Any, V]:
        waited = None if at_least is None else tracing.waiting(spec.name)
        return self._log(key, spec, at_least, timeout, waited)

    async def _log(
        self,
        key: str,
        spec: LogSpec[V],
        at_least: Offset | None,
        timeout: float | None,
        waited: Waited | None,
    ) -> V:
        if at_least is not None:
            check_offset(at_least)
        began = time.monotonic()
        seconds = settings.READ_TIMEOUT if timeout is None else timeout
        projector, outcome = self._replicas.log(key, spec), "caught_up"
        try:
            async with asyncio.timeout(seconds):
                await projector.ready()
                if at_least is not None and (future := projector.reach(at_least.epoch, at_least)) is not None:
                    await future
        except EpochChanged:
            outcome = "epoch"
            raise
        except KeyHalted:
            outcome = "halted"
            raise
        except TimeoutError:
            outcome = "timeout"
            if projector.error is not None:
                raise again(projector.error) from None
            status = projector.status
            wanted = "its head" if at_least is None else f"offset {at_least}"
            raise NotCaughtUp(
                f"{key!r} is at offset {status.position.offset} on this pod and did not reach {wanted} in {seconds} s. "
                "Read without at_least, or wait longer."
            ) from None
        finally:
            if at_least is not None:
                _tell(key, spec.name, outcome, began, waited)
        return projector.read()

    async def status(self, key: str, spec: LogSpec[V]) -> ProjectionStatus:
        projector = self._replicas.log(key, spec)
        # A key that is halted, or a backplane that is away, is what a status is asked for.
        with contextlib.suppress(KeyHalted, BackplaneRefused, TimeoutError):
            async with asyncio.timeout(settings.READ_TIMEOUT):
                await projector.ready()
        return projector.status

    def cell(
        self, key: str, spec: CellSpec[T], at_least: Revision | None = None, timeout: float | None = None
    ) -> Coroutine[Any, Any, T]:
        waited = None if at_least is None else tracing.waiting(spec.name)
        return self._cell(key, spec, at_least, timeout, waited)

    async def _cell(
        self,
        key: str,
        spec: CellSpec[T],
        at_least: Revision | None,
        timeout: float | None,
        waited: Waited | None,
    ) -> T:
        cell = self._replicas.cell(key, spec)
        if at_least is not None:
            await self._reach(cell, at_least, timeout, waited)
        if not cell.loaded or cell.expired:
            await self.load(cell)
        cell.touch_if_old()
        return cell.value()

    async def _reach(
        self, cell: CellCopy[T], at_least: Revision, timeout: float | None, waited: Waited | None
    ) -> None:
        began = time.monotonic()
        seconds, outcome = settings.READ_TIMEOUT if timeout is None else timeout, "halted"
        try:
            async with asyncio.timeout(seconds):
                if (future := cell.reach(at_least)) is not None:
                    await future
            outcome = "caught_up"
        except TimeoutError:
            outcome = "timeout"
            if (failing := cell.flight.failing) is not None:
                raise again(failing) from None
            found = "absent" if cell.stored is None else f"at revision {cell.stored.number}"
            raise NotCaughtUp(
                f"{cell.key!r} is {found} on this pod and did not reach revision {at_least.number} in {seconds} s. "
                "Read without at_least, or wait longer."
            ) from None
        finally:
            _tell(cell.key, cell.spec.name, outcome, began, waited)

    async def look(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> None:
        """Wait until this pod has what the store has now, however long that takes."""
        await (
            self._replicas.log(key, spec) if isinstance(spec, LogSpec) else self._replicas.cell(key, spec)
        ).look()

    async def load(self, cell: CellCopy[T]) -> Read[T]:
        return await patiently(settings.READ_TIMEOUT, f"Loading {cell.key!r}", cell.load)

    def loaded(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> Shown[T] | None:
        """What is shown without a way to the loop."""
        if isinstance(spec, LogSpec):
            projector = self._replicas.loaded_log(key)
            return None if projector is None else projector.shown
        cell = self._replicas.loaded_cell(key)
        return None if cell is None or spec.ttl is not None or cell.error is not None else cell.shown

    async def shown(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> Shown[T]:
        if isinstance(spec, LogSpec):
            await self.log(key, spec, None, None)
            return self._replicas.log(key, spec).shown
        await self.cell(key, spec)
        return self._replicas.cell(key, spec).shown
