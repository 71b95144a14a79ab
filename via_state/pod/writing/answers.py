"""Telling those who wait for appends, on whatever thread or loop they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from via_state import telemetry
from via_state.exceptions import AppendTooLarge, BackplaneRefused, OutcomeUnknown
from via_state.pod.writing.groups import Waiter
from via_state.runtime.kept_errors import again


def fail(waiters: Sequence[Waiter], error: BaseException) -> None:
    """Give all of them an error."""
    if waiters:
        telemetry.AppendFailed(reason(error), len(waiters)).emit()
        tell((waiter, error) for waiter in waiters)


def tell(answers: Iterable[tuple[Waiter, Any]]) -> None:
    """Give each waiter its answer: one wake-up for each event loop, however many wait on it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiter, Any]]] = {}
    for waiter, answer in answers:
        if isinstance(waiter, asyncio.Future):
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, answer))
        else:
            _answer([(waiter, answer)])
    for loop, batch in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer, batch)


def reason(error: BaseException) -> str:
    """What an append's error says of its outcome, as telemetry calls it."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if isinstance(error, AppendTooLarge):
        return "too_large"
    return "refused" if isinstance(error, BackplaneRefused) else "unavailable"


def _answer(batch: list[tuple[Waiter, Any]]) -> None:
    for waiter, answer in batch:
        if waiter.done():
            continue
        if isinstance(answer, BaseException):
            waiter.set_exception(again(answer))
        else:
            waiter.set_result(answer)
