"""Trying again while the backplane is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from via_state import telemetry
from via_state.core.retry import full_jitter
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, OutcomeUnknown
from via_state.runtime.patience import send_by
from via_state.runtime.rng import rng

T = TypeVar("T")


class Backoff:
    """Pauses between attempts: full jitter, doubling from ``base`` to ``cap`` seconds."""

    __slots__ = ("attempts", "base", "cap")

    def __init__(self, base: float = 0.02, cap: float = 1.0) -> None:
        self.base, self.cap = base, cap
        self.attempts = 0

    def next(self) -> float:
        """Count an attempt that failed; the seconds to wait before the next one."""
        self.attempts += 1
        return full_jitter(self.attempts, self.base, self.cap, rng.random)

    async def pause(self) -> None:
        """Count an attempt that failed, and wait."""
        await asyncio.sleep(self.next())


async def patiently(seconds: float, what: str, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await ``step()`` until it is answered, for ``seconds`` at most; then raise `BackplaneUnavailable`. Raises `BackplaneRefused` at once.

    ``step`` must be harmless to repeat.
    """
    deadline = time.monotonic() + seconds
    backoff = Backoff()
    while True:
        try:
            with send_by(deadline):
                return await step()
        except BackplaneRefused:
            raise  # the same answer would come again
        except (BackplaneUnavailable, OutcomeUnknown) as error:
            telemetry.CallFailed().emit()
            pause = backoff.next()
            if time.monotonic() + pause >= deadline:
                raise BackplaneUnavailable(f"{what} failed for {seconds:.1f} s. {error}") from error
            await asyncio.sleep(pause)
