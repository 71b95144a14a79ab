"""Appends that belong to a database transaction: written with it, moved to the log after it commits.

A request inserts a row on Django's own connection. After the commit its process moves the row to the log; when that
process dies first, a sweep of any other one does. The row's append id makes the move idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.core.records import Position
from via_state.exceptions import AppendTooLarge, ViaStateError
from via_state.pod.appender import Appender
from via_state.pod.commits import after_commit
from via_state.runtime.loop import LoopThread
from via_state.runtime.worker_threads import database_threads

logger = logging.getLogger("via_state.outbox")

LANES = 16
BATCH = 500  # rows moved under one lock


class Outbox:
    """The outbox of one pod: it adds rows, and relays its own and those that others left behind."""

    def __init__(self, thread: LoopThread, backplane: Backplane, appender: Appender) -> None:
        self._thread = thread
        self._backplane = backplane
        self._appender = appender
        self._database = database_threads()
        self._due: set[int] = set()
        self._running: set[int] = set()

    def add(self, key: str, data: bytes, count: int) -> None:
        """Append with the caller's transaction on ``DATABASE``; at once where there is none."""
        if len(data) > self._backplane.max_append_bytes or count > self._backplane.max_append_records:
            # Refused now: in the outbox it would stand in the way of those behind it.
            raise AppendTooLarge(
                f"{count} events of {len(data)} bytes are more than one append to {key!r} takes "
                f"({self._backplane.max_append_records} events, {self._backplane.max_append_bytes} bytes)."
            )
        if not self._backplane.durable:
            # Nothing outlives this process, so neither need the promise: the commit itself makes the append.
            self._after_commit(lambda: self._append(key, data, count, folded=True).result(), key)
            return
        from via_state.models import OutboxRecord  # models load after this module does

        lane = zlib.crc32(key.encode()) % LANES
        OutboxRecord.objects.using(settings.DATABASE).create(
            lane=lane, prefix=settings.PREFIX, key=key, append_id=uuid.uuid4(), count=count, data=data
        )
        self._after_commit(lambda: self._thread.soon(self._relay_soon, lane), key)

    @staticmethod
    def _after_commit(hook: Callable[[], object], key: str) -> None:
        """An error after a commit is not the caller's, and must not keep the caller's own hooks from running."""
        if connections[settings.DATABASE].in_atomic_block:
            hook = partial(after_commit, hook, "append_on_commit", f"an append to {key!r}")
        transaction.on_commit(hook, using=settings.DATABASE)

    def _append(
        self, key: str, data: bytes, count: int, *, append_id: str | None = None, folded: bool = False
    ) -> Future[Position]:
        waiter: Future[Position] = Future()
        timeout = settings.APPEND_TIMEOUT
        self._appender.submit(key, data, count, waiter, timeout=timeout, folded=folded, append_id=append_id)
        return waiter

    # On the loop -----------------------------------------------------------------------------------------

    def _relay_soon(self, lane: int) -> None:
        self._due.add(lane)
        if lane not in self._running:
            self._running.add(lane)
            task = self._thread.loop.create_task(self._run(lane))
            task.add_done_callback(lambda task: self._ran(lane, task))

    def _ran(self, lane: int, task: asyncio.Task[None]) -> None:
        self._running.discard(lane)
        if lane in self._due and not task.cancelled():
            self._relay_soon(lane)  # asked for between the last look and this callback

    async def _run(self, lane: int) -> None:
        while lane in self._due:
            self._due.discard(lane)
            try:
                if await self._database.run(self._relay, lane):
                    self._due.add(lane)
            except (ViaStateError, DatabaseError) as error:
                logger.warning(
                    "The outbox could not be relayed; its records stay and the sweep tries again: %s", error
                )

    async def sweep(self) -> None:
        """Relay what killed processes left behind."""
        for lane in await self._database.run(_waiting_lanes):
            self._relay_soon(lane)

    async def settle(self) -> None:
        """Relay everything that was committed. For tests."""
        if self._backplane.durable:
            for lane in await self._database.run(_waiting_lanes):
                while await self._database.run(self._relay, lane):
                    pass

    async def close(self) -> None:
        """Take no more work; what is not relayed stays in the table."""
        await self._database.close(0)

    # On a database thread --------------------------------------------------------------------------------

    def _relay(self, lane: int) -> bool:
        """Move a lane's committed records to their logs, in order. True when more may be waiting."""
        from via_state.models import OutboxLane, OutboxRecord

        database = settings.DATABASE
        moved: list[int] = []
        failure: ViaStateError | None = None
        OutboxLane.objects.using(database).get_or_create(lane=lane)
        with transaction.atomic(using=database):
            # Writing the row locks it on every vendor until the commit.
            OutboxLane.objects.using(database).filter(lane=lane).update(relayed=timezone.now())
            rows = OutboxRecord.objects.using(database).filter(lane=lane, prefix=settings.PREFIX).order_by("id")
            records = list(rows[:BATCH])
            try:
                for record in records:
                    self._append(
                        record.key, bytes(record.data), record.count, append_id=record.append_id.hex
                    ).result()
                    moved.append(record.pk)
            except ViaStateError as error:
                failure = error
            # What was moved leaves even when a later record failed: it must not be moved again.
            OutboxRecord.objects.using(database).filter(pk__in=moved).delete()
        if failure is not None:
            raise failure
        return len(records) == BATCH


def _waiting_lanes() -> Iterable[int]:
    from via_state.models import OutboxRecord

    rows = OutboxRecord.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)
    return list(rows.values_list("lane", flat=True).distinct())
