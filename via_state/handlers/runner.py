"""One handler on one key, on one worker: reads what follows its position, and has it delivered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from via_state import telemetry
from via_state.bookkeeping.positions import AWAY, BLOCKED, SUSPECT, Claim, HandlerId, Held
from via_state.core.cursor import CursorCheck, check_cursor
from via_state.core.delivery import Treatment, records_after
from via_state.core.records import LogBounds, Position
from via_state.core.specs import LogSpec
from via_state.core.text import error_line
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, Closed, Fenced, Stalled
from via_state.handlers import schedule
from via_state.handlers.declaration import HandlerSpec
from via_state.handlers.delivering import Deliverer, Result, Turn
from via_state.handlers.employer import Employer
from via_state.handlers.reading import Reading
from via_state.handlers.schedule import NotAlone
from via_state.logs import about
from via_state.runtime.backoff import Backoff
from via_state.runtime.outage import Outage
from via_state.runtime.rng import rng
from via_state.runtime.single_flight import UNEXPECTED

logger = logging.getLogger("via_state.handlers")

READ_LIMIT = 500  # records in one read, but for those of the last pack, and in one turn
LOOK = 0.1  # seconds, at least, between two looks at a position that somebody else has

_HALTS = {
    CursorCheck.REWRITTEN: "the log was restored or recreated since this handler's last record, or is of another backplane",
    CursorCheck.LOST: "records were discarded that this handler has not had",
}
_MISSING = (
    "records up to offset {} are missing from the log, which nothing of via_state discarded: they were deleted, or a "
    "restore was not whole. Put them back from a backup, then say where it resumes: manage.py resume_handler"
)


class Runner:
    """Idle it is a small object without a task; a ring puts it in line, and it works to the head, step by step. Its attributes are all
    that one step leaves to the next one, and are forgotten together.

    It is not a `SingleFlight`, which begins when it is rung and runs until it has nothing to do: it begins when the `Schedule` has a place
    for it, and gives the place back after each step. The next pause depends on what the step found: a claim that others hold, a record that
    fails, an outage, which the position's row tells. What nobody expects is treated alike: logged once, and tried again.
    """

    def __init__(
        self, worker: Employer, handler: HandlerId, spec: HandlerSpec, log: LogSpec[Any], key: str
    ) -> None:
        self.handler, self.key = handler, key
        self._spec, self._log = spec, log
        self._worker = worker
        self.claim: Claim | None = None
        self.task: asyncio.Task[None] | None = None
        self._in_line = False
        self._timer: asyncio.TimerHandle | None = None
        self._again = False
        self._dismissed = False
        self._reading: Reading | None = None
        self._rang = time.monotonic()
        #: When it last had nothing to do, in monotonic seconds; None while it has.
        self.idle_since: float | None = None
        self.behind_since: float | None = None
        self.lag = 0
        self.stuck = 0
        self.halted = ""
        self._blocks = 0
        self._outage = Outage(
            logger, f"The reading of {key!r} for the event handler {handler.name}", "handler", quiet=True
        )
        self._backoff: Backoff | None = None  # since it fails, also over later tasks
        self._told = False  # that it fails, by the position's row
        self._held_by_others: Backoff | None = None  # since somebody else has its position, or asked for it
        self._seen: Position | None = None  # where that one stood, delivering nothing
        self._crowded = False  # it was to be alone, and something else ran for long

    @property
    def labels(self) -> tuple[str, str]:
        """Name and declared key, for `telemetry`."""
        return self.handler.name, self.handler.template

    @property
    def busy(self) -> bool:
        """Whether it works, or stands in line for that."""
        return self.task is not None or self._in_line

    def ring(self) -> None:
        """There may be something to do. On the loop."""
        if self._dismissed or self._worker.stopping:
            return
        if self.task is not None:
            self._again = True
        elif self._timer is None and not self.halted and not self._in_line:
            self._rang = time.monotonic()
            self._line_up()

    def seen(self, events: int) -> None:
        """The sweep says that there are about so many events before it: its lag, until it has had a thread."""
        if not self.halted:
            self._worker.measures.lag(self, max(events, self.lag))

    def _line_up(self) -> None:
        self.idle_since = None
        self._in_line = True
        self._worker.schedule.put(self)

    def begin(self) -> None:
        """It is its turn."""
        self._in_line = False
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "Running %s on %r ended, and begins again.",
                self.handler.name,
                self.key,
                exc_info=error,
                extra=self._about(),
            )
            self.claim = None
            if self._timer is None and not self._dismissed:
                self._later(UNEXPECTED * rng.random())
        elif self._again and not task.cancelled() and not self._dismissed and self._timer is None:
            self._line_up()
        self._again = False
        self._worker.schedule.ended(self)

    def wake(self) -> None:
        """Try now what would be tried later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.halted = self._worker.measures.halted(self, "")
        self.ring()

    def doubt(self) -> None:
        """Its claim is no longer relied on; what it waits for is tried now. A step that runs finds out by itself."""
        if self.task is None:
            self.claim = None
            self.wake()

    async def _run(self) -> None:
        """One step. What is to follow stands in line again, so that others have their turn."""
        worker = self._worker
        self._again = False
        try:
            wait = await self._step()
        except Closed:
            return
        except Fenced:
            telemetry.HandlerFenced(*self.labels, self.key).emit()
            logger.info(
                "%s on %r was taken over by another worker.",
                self.handler.name,
                self.key,
                extra=self._about("fenced"),
            )
            self.claim, wait = None, 0.0  # by an operator, perhaps, who left it free
            self._others()
        except Exception as error:
            wait = await self._failed(error)
        else:
            if self._outage.long:
                self._stuck(0 if self.claim is None else self.claim.attempts)
            self._outage.answered()
            self._backoff, self._told = None, False
        if worker.stopping:
            worker.dismiss(self)
        elif wait is None:
            self._again = self._again or (self.claim is not None and not worker.owns(self.handler, self.key))
            if not self._again:
                self._reading = None
                self.idle_since = time.monotonic()
        elif wait > 0:
            self._later(wait)
        else:
            self._again = True

    def _others(self) -> Backoff:
        """The pauses while somebody else has its position."""
        if self._held_by_others is None:
            self._held_by_others = Backoff(0.05, self._worker.lease / 3)
        return self._held_by_others

    async def _failed(self, error: Exception) -> float:
        """Nothing came of a step. Seconds to wait; what lasts is kept in sight by the position's row, too."""
        self.claim = None
        expected = isinstance(error, BackplaneUnavailable)
        if expected:
            telemetry.CallFailed().emit()
        if isinstance(error, Stalled) and not self._outage.seconds:
            logger.warning("%s waits: %s", self.handler.name, error, extra=self._about("stalled"))
        self._outage.failed(error, expected=expected)
        if self._backoff is None:
            soon = expected and not isinstance(error, BackplaneRefused)
            self._backoff = Backoff() if soon else Backoff(0.5, UNEXPECTED)
        if self._outage.long:
            self._stuck(max(self.stuck, self._backoff.attempts))
            if not self._told:
                await self._tell(error_line(error))
        return self._backoff.next()

    async def _tell(self, text: str) -> None:
        worker, seconds = self._worker, self._outage.seconds
        try:
            await worker.threads.run(worker.store.away, self.handler, self.key, worker.id, seconds, text)
        except (BackplaneUnavailable, Closed) as error:
            logger.debug(
                "That %s on %r is stuck can't be stored yet: %s",
                self.handler.name,
                self.key,
                error,
                extra=self._about(),
            )
        else:
            self._told = True

    def _later(self, seconds: float) -> None:
        def again() -> None:
            self._timer = None
            self.ring()

        self._again, self._reading = False, None
        self._timer = asyncio.get_running_loop().call_later(seconds, again)

    async def _step(self) -> float | None:
        """One read and one turn. None: nothing to do until a ring; else the seconds to wait, 0 for at once."""
        worker = self._worker
        if not worker.owns(self.handler, self.key):
            worker.dismiss(self)
            return None
        if self.claim is None:
            self._reading = None
            idle_at = None if self._seen is None else self._seen.offset
            found = await worker.claims.take(self.handler, self.key, idle_at)
            if found is None:
                worker.measures.lag(self, 0)  # it was retired
                return worker.lease / 3 * rng.uniform(0.8, 1.0)
            if isinstance(found, Held):
                return await self._wait_for(found)
            self.claim, self._held_by_others, self._seen = found, None, None
            if not self._outage.long:
                self._stuck(self.claim.attempts)
            if self.claim.halted:
                await self._halt(self.claim, self.claim.halted, "")
                return None
            if self.claim.wait > 0.001:
                return self.claim.wait
        claim, reading = self.claim, self._reading
        again = reading is not None and reading.serves(claim.position)
        if not again:
            reading = await self._read(claim)
        if reading is None:
            return None
        records = reading.take(READ_LIMIT)
        if not again:
            end = records[-1].position.offset if records else claim.position.offset
            reading.rest = await worker.backplane.count(self.key, end, reading.ends)
        worker.measures.lag(self, len(records) + reading.rest)
        if not records and claim.position.offset < reading.ends.position.offset:
            raise Stalled(
                f"The log {self.key!r} says that its last record is at offset {reading.ends.position.offset}, "
                f"and brings none after {claim.position.offset}."
            )
        if claim.last_error.startswith(AWAY):
            await worker.threads.run(worker.store.answered, claim)
        if not records:
            return None
        if records[0].treatment is Treatment.DELIVER:
            telemetry.DeliveryBegan(*self.labels, time.monotonic() - self._rang).emit()
        deliverer = Deliverer(worker.store, self._spec, self._log, claim, records, worker.may_continue)
        # At the second try in company: something runs for so long that it may hang.
        alone = claim.last_error == SUSPECT and not self._crowded
        try:
            turn = await worker.schedule.deliver(self.handler, deliverer, alone=alone)
        except NotAlone:
            self._crowded = True
            return schedule.PATIENCE
        self._crowded = False
        self._rang = time.monotonic()
        taken = len(records)
        passed = reading.passed(claim.position)
        worker.measures.delivered(passed)
        worker.measures.lag(self, taken - passed + reading.rest)
        worker.done(self.handler, self.key, claim.position)
        wait = await self._after(turn, claim, reading.ends.position)
        # Rings since it was read were for what it does not hold.
        return 0.0 if again and wait is None and self.claim is not None else wait

    async def _wait_for(self, held: Held) -> float | None:
        """Somebody else has the position: seconds until the next look. Who had it idle at two looks, at the same place, loses it:
        a worker whose threads are all busy keeps nobody from what it does not do.
        """
        worker = self._worker
        worker.measures.lag(self, 0)  # whoever has it says its lag
        head = await worker.backplane.head(self.key)
        if head.position == held.position:
            worker.done(self.handler, self.key, held.position)
            self._seen = None
            return None
        # A replay soon gives it back; a worker works on it, or has died and keeps it until its lease ends.
        self._seen = held.position if held.idle else None
        return LOOK + self._others().next()

    async def _read(self, claim: Claim) -> Reading | None:
        """What follows the claim's position; None where the evidence halts the handler."""
        worker = self._worker
        self._reading = None
        batch = await worker.reads.take(self.key, claim.position, READ_LIMIT)
        evidence = check_cursor(claim.position, batch, claim.from_floor)
        if evidence is CursorCheck.UNPROVEN:
            raise BackplaneUnavailable(f"Only a replica answered for {self.key!r}; its leader must.")
        if (why := _HALTS.get(evidence)) is not None:
            await self._halt(claim, evidence.value, _MISSING.format(batch.hole) if batch.hole else why)
            return None
        if evidence is CursorCheck.FROM_FLOOR:
            claim.position = batch.floor
        records = records_after(batch, claim.position, self._log.events, self._spec.events)
        self._reading = Reading(records, claim.position, LogBounds(batch.head, batch.floor))
        return self._reading

    async def _after(self, turn: Turn, claim: Claim, head: Position) -> float | None:
        failed = turn.result is Result.FAILED
        self._stuck(max(claim.attempts, failed))  # one that asks for time is stuck, too
        if failed:
            return turn.wait
        if turn.result is Result.WANTED:
            self.claim = None
            return self._others().next()
        if turn.result is Result.BLOCKED:
            self._blocks += 1
            telemetry.HandlerBlocked(*self.labels, self.key).emit()
            wait = self._spec.retry.pause(self._blocks, rng.random)
            await self._worker.threads.run(self._worker.store.fail, claim, claim.attempts, BLOCKED, wait)
            self._stuck(self._blocks)
            return wait
        self._blocks = 0
        if claim.position.offset >= head.offset:
            return None
        # Without a lease nothing is begun: it is renewed, or another worker takes over.
        return 0.0 if self._worker.may_continue() else 0.1

    async def _halt(self, claim: Claim, reason: str, text: str) -> None:
        worker = self._worker
        if text:
            await worker.threads.run(worker.store.halt, claim, reason, text)
            logger.error(
                "The event handler %s is halted on %r: %s",
                self.handler.name,
                self.key,
                text,
                extra=self._about(reason),
            )
        self.claim = None
        self.halted = worker.measures.halted(self, reason)
        await worker.threads.run(worker.store.release, worker.id, [(self.handler, self.key)])

    def _about(self, reason: str = "") -> dict[str, object]:
        return about(key=self.key, handler=self.handler.name, reason=reason)

    def _stuck(self, attempts: int) -> None:
        self._worker.measures.stuck(self, attempts)

    def stop(self) -> None:
        """Forget it. What runs on a thread ends by itself."""
        self._dismissed, self._again, self.claim, self._reading = True, False, None, None
        self._outage.over()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._in_line:
            self._in_line = False
            self._worker.schedule.discard(self)
        self._worker.measures.forget(self)
