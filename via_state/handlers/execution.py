"""Running a handler once for one event, and storing that it did: what a worker and a replay do in the same way."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from asgiref.sync import async_to_sync
from django.db import DatabaseError, InterfaceError, InternalError, connections
from django.db.transaction import TransactionManagementError

from via_state.bookkeeping.database.commits import committing
from via_state.conf import settings
from via_state.core.project_code import contained, is_failure
from via_state.core.retry import full_jitter
from via_state.exceptions import BackplaneUnavailable, Fenced, Poison, RetryAfter
from via_state.runtime.database_errors import answered, contended
from via_state.runtime.rng import rng

_SWALLOWED = (
    "The handler caught a database error inside its atomic transaction, which can no longer commit. Wrap the statement that "
    "may fail in its own transaction.atomic()."
)

_CLOSED = (
    "The handler closed the connection of its atomic transaction, and nothing of it is committed. Leave connections open: the worker closes "
    "those that are too old."
)

#: How often a transaction runs that the database undoes because of others, and the longest pauses between, in seconds.
TRIES, PAUSE, LONGEST = 5, 0.01, 0.2


class OutcomeUnclear(Exception):
    """What a handler did may have been committed, or the row that says so could not be written. Only the row knows."""


def execute(run: Callable[[], None], keep: Callable[[], None], *, atomic: bool, what: str, detail: str) -> None:
    """Call ``run``, then ``keep``, which stores that it ran. Where ``atomic``, both are one transaction on ``DATABASE``, which runs
    again where a deadlock or a serialization failure undid it.

    Raises what ``run`` raises, what ``keep`` raises, and an error of the commit that the handler has to answer for, such as a
    deferred constraint. Raises `OutcomeUnclear` where nobody knows whether it was stored. ``what`` and ``detail`` are for
    errors after the commit: see `committing`.
    """
    if not atomic:
        run()
        try:
            keep()
        except BackplaneUnavailable as error:
            raise OutcomeUnclear(str(error)) from error
        return
    for tries in range(1, TRIES + 1):
        try:
            _in_one_transaction(run, keep, what, detail)
        except (Fenced, RetryAfter, Poison):
            raise
        except Exception as error:
            if tries == TRIES or not contended(error):
                raise
        else:
            return
        time.sleep(full_jitter(tries, PAUSE, LONGEST, rng.random))


def _in_one_transaction(run: Callable[[], None], keep: Callable[[], None], what: str, detail: str) -> None:
    keeping = False
    try:
        with committing(what, detail):
            run()
            if connections[settings.DATABASE].closed_in_transaction:
                raise RuntimeError(_CLOSED)
            keeping = True
            keep()
    except BackplaneUnavailable as error:
        if not keeping:
            raise  # the handler's own
        if isinstance(error.__cause__, TransactionManagementError | InternalError):
            raise RuntimeError(_SWALLOWED) from error
        raise OutcomeUnclear(str(error)) from error
    except (DatabaseError, InterfaceError) as error:
        if not keeping or answered(error):
            raise
        raise OutcomeUnclear(f"The outcome of a transaction is not known: {error}") from error


def call(function: Callable[..., Any], *args: Any, timeout: float | None = None) -> None:
    """Call what a project wrote, sync or async; the latter for ``timeout`` seconds at most. The database work of an async function runs on this thread, too.

    What would end the process or the task that waits for it, such as ``sys.exit``, is an error like any other. Nothing that it sets for
    its thread is left to the next one: a language, a time zone, a transaction that it opened by hand and did not end.
    """
    before = _by_hand()
    try:
        copy_context().run(_call, function, args, timeout)
    except BaseException as error:
        _undo(_by_hand() - before)
        if isinstance(error, Exception) or not is_failure(error):
            raise
        raise contained(error, "The handler") from error
    if left := _undo(_by_hand() - before):
        raise RuntimeError(
            f"The handler turned autocommit off on the database {left[0]!r} and did not turn it on again: what it wrote there was not "
            "committed. Use transaction.atomic()."
        )


def _by_hand() -> set[str]:
    """The databases on which this thread has autocommit off, outside of ``atomic()`` and against the settings."""
    return {
        one.alias
        for one in connections.all(initialized_only=True)
        if one.connection is not None
        and not one.in_atomic_block
        and not one.autocommit
        and one.settings_dict["AUTOCOMMIT"]
    }


def _undo(aliases: set[str]) -> list[str]:
    for alias in aliases:
        connections[alias].close()
    return sorted(aliases)


def _call(function: Callable[..., Any], args: tuple[Any, ...], timeout: float | None) -> None:
    if inspect.iscoroutinefunction(function):

        async def bounded() -> None:
            async with asyncio.timeout(timeout):
                await function(*args)

        async_to_sync(bounded)()
        return
    answer = function(*args)
    if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        raise TypeError("The handler is a generator: calling it runs nothing of it. Remove the yield.")
    if inspect.isawaitable(answer):

        async def finish() -> None:
            await answer

        async_to_sync(finish)()
