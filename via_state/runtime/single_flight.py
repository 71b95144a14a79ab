"""Work that is done when it is rung, once more when it was rung meanwhile, and never twice at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import NamedTuple, TypeAlias

from django.db import DatabaseError, InterfaceError

from via_state import telemetry
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown
from via_state.runtime.backoff import Backoff
from via_state.runtime.database_errors import refused
from via_state.runtime.outage import Outage, OutagePart

logger = logging.getLogger("via_state.runtime")

#: Longest pause after an error that nobody expects, in seconds; the first is up to half a second.
UNEXPECTED = 15.0
#: What is raised while a server is away: the backplane's, or the project's database.
AWAY = (BackplaneUnavailable, OutcomeUnknown, DatabaseError, InterfaceError)


class Hold(NamedTuple):
    """A body's answer: not again for so many seconds, even when it is rung."""

    seconds: float


#: A body's answer: None, nothing to do until the next ring; a number, again in so many seconds or when it is rung before; `Hold`.
Rest: TypeAlias = float | Hold | None


class SingleFlight:
    """Runs ``body`` when it is rung. Idle it is a small object without a task. All on one event loop.

    However often it is rung while the body runs, the body runs once more. A body that raises is run again, after a pause
    with jitter that doubles with each failure in a row:

    * `BackplaneUnavailable`, `OutcomeUnknown`, an error of the database: up to ``cap`` seconds. ``outage`` logs when it begins
      and ends; without one that is not logged, because whoever sweeps for all keys has said it. One that lasts for a minute is
      logged, and counted by a metric.
    * One of these by which the server refuses for good (`refused`): up to ``patience`` seconds, logged and counted at once.
    * `Closed`: never again.
    * Anything else: up to ``patience`` seconds, logged with its traceback once until the body succeeds again.

    ``name`` begins the log lines: "The sweep". Where it differs from one object to the next, it is a function, which is asked
    when there is something to log. ``kind`` labels the metric of outages, where no ``outage`` is given.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_body",
        "_cap",
        "_held",
        "_kind",
        "_name",
        "_outage",
        "_patience",
        "_stopped",
        "_timer",
        "failing",
        "task",
    )

    def __init__(
        self,
        name: str | Callable[[], str],
        body: Callable[[], Awaitable[Rest]],
        *,
        cap: float = 1.0,
        patience: float = UNEXPECTED,
        outage: Outage | OutagePart | None = None,
        kind: str = "other",
    ) -> None:
        self._name, self._body, self._outage, self._kind = name, body, outage, kind
        self._cap, self._patience = cap, patience
        self.task: asyncio.Task[None] | None = None
        #: What the body raised, until it succeeds.
        self.failing: Exception | None = None
        self._again = self._held = self._stopped = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """What its log lines begin with."""
        return self._name if isinstance(self._name, str) else self._name()

    @property
    def rung(self) -> bool:
        """Whether it was rung since the body began."""
        return self._again

    @property
    def obstacle(self) -> Exception | None:
        """What the body raised, where waiting does not help or has lasted for a minute."""
        return self.failing if self._outage is not None and self._outage.long else None

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is due."""
        return self.task is None and self._timer is None

    def ring(self) -> None:
        """There may be something to do."""
        if self._stopped:
            return
        self._again = True
        if self.task is None and not self._held:
            # It serves whoever rings it later, so it has nothing of the context of who rings it first.
            self.task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self.task.add_done_callback(self._ended)

    def wake(self) -> None:
        """Ring, also while it is held."""
        self._cancel_timer()
        self.ring()

    def stop(self) -> None:
        """Never again. What runs is cancelled."""
        self._stopped, self._again = True, False
        if self._outage is not None:
            self._outage.over()
        self._cancel_timer()
        if self.task is not None:
            self.task.cancel()

    async def ended(self) -> None:
        """Stop, and wait until nothing runs any more."""
        self.stop()
        if self.task is not None and self.task is not asyncio.current_task():
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        backoff: Backoff | None = None
        while self._again and not self._held:
            self._again = False
            self._cancel_timer()
            try:
                rest = await self._body()
            except Closed:
                self._stopped = True
                return
            except Exception as error:
                backoff = self._backoff_for(error, backoff)
                self._failed(error)
                self._again = True
                await backoff.pause()
            else:
                backoff = None
                self._succeeded()
                if rest is not None:
                    self._later(rest)

    def _backoff_for(self, error: Exception, before: Backoff | None) -> Backoff:
        """That of the failure before, unless this one is of another sort: one that passes soon is not waited for as long."""
        soon = isinstance(error, AWAY) and not refused(error)
        base, cap = (0.02, self._cap) if soon else (0.5, self._patience)
        return before if before is not None and before.base == base else Backoff(base, cap)

    def _failed(self, error: Exception) -> None:
        if self._outage is None:
            self._outage = Outage(logger, self.name, self._kind, quiet=True)
        if isinstance(error, AWAY):
            telemetry.CallFailed().emit()
            self._outage.failed(error)
        elif not self._outage.lasts(error) and (self.failing is None or isinstance(self.failing, AWAY)):
            logger.error("%s failed, and is tried again until it works.", self.name, exc_info=error)
        self.failing = error

    def _succeeded(self) -> None:
        if self.failing is not None:
            if self._outage is not None:
                self._outage.answered()
            self.failing = None

    def _later(self, rest: float | Hold) -> None:
        self._held = isinstance(rest, Hold)
        seconds = rest.seconds if isinstance(rest, Hold) else rest
        self._timer = asyncio.get_running_loop().call_later(seconds, self.wake)

    def _cancel_timer(self) -> None:
        self._held = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if self._again and not self._stopped and not self._held and not task.cancelling():
            self.ring()  # rung between the last look and this callback; not where the loop ends
