"""How long calls of a backplane take, and what comes of them: told of every adapter that asks a server, one of a project's own included."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, CASConflict, OutcomeUnknown, ViaStateError
from via_state.telemetry import called

P = ParamSpec("P")
T = TypeVar("T")

#: Verbs that ask a server.
CELLS = "load_many", "load", "revisions", "cas", "cells", "prune"
LOGS = "append", "append_many", "read", "read_many", "head", "heads", "count", "changed", "drop", "logs", "compact"
VERBS = (*CELLS, *LOGS, "publish", "publish_many")


def time_verbs(adapter: type) -> None:
    """Have the verbs that a class brings itself tell how long they take, where they ask a server."""
    for verb in VERBS if getattr(adapter, "shared", True) else ():
        if verb in vars(adapter):
            setattr(adapter, verb, timed(verb, vars(adapter)[verb]))


def timed(verb: str, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """A verb of an adapter that tells how long it took. A call that is cancelled is not told: nobody knows what came of it."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        began = perf_counter()
        try:
            answer = await function(*args, **kwargs)
        except Exception as error:
            called(verb, outcome_of(error), perf_counter() - began)
            raise
        called(verb, "ok", perf_counter() - began)
        return answer

    return call


def outcome_of(error: Exception) -> str:
    """What an error of a call says, as `BackplaneCalled` names it."""
    match error:
        case CASConflict():
            return "ok"
        case BackplaneRefused():
            return "refused"
        case BackplaneUnavailable():
            return "unavailable"
        case OutcomeUnknown():
            return "unknown"
        case ViaStateError() | ValueError() | NotImplementedError():
            return "refused"
        case _:  # a fault of the adapter's
            return "unknown"
