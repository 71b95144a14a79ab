"""What waits to be appended: calls, those of one key that travel together, and the keys in line."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeAlias

from via_state.core.events import join_packs
from via_state.core.records import Append, Pack, Position
from via_state.runtime.backoff import Backoff

Waiter: TypeAlias = asyncio.Future[Position] | Future[Position]


class Entry:
    """One call's append. ``append_id`` is set where the caller chose it. ``alone``: it shares a group with no other one."""

    __slots__ = ("alone", "append_id", "count", "data", "deadline", "folded", "key", "started", "waiter")

    def __init__(
        self,
        key: str,
        data: bytes,
        count: int,
        waiter: Waiter,
        folded: bool,
        append_id: str | None,
    ) -> None:
        self.key, self.data, self.count, self.waiter, self.folded = key, data, count, waiter, folded
        self.append_id = append_id
        self.alone = append_id is not None
        self.started = time.monotonic()
        self.deadline = self.started  # until the loop has it, which says how long it is tried


def new_append_id() -> str:
    """One that nobody else has."""
    return os.urandom(16).hex()


class Group:
    """Entries of one key, as one append. It keeps its id while its outcome is unknown.

    ``send_by``: when the first of its callers no longer waits for it to be sent; ``give_up``: when it is not sent again.
    """

    __slots__ = ("append", "entries", "give_up", "send_by", "sent", "started")

    def __init__(self, entries: list[Entry], retry_window: float) -> None:
        first = entries[0]
        data, count, send_by, latest = first.data, first.count, first.deadline, first.deadline
        if len(entries) > 1:
            data = join_packs([entry.data for entry in entries])
            count = sum([entry.count for entry in entries])
            deadlines = [entry.deadline for entry in entries]
            send_by, latest = min(deadlines), max(deadlines)
        self.entries = entries
        self.append = Append(first.key, first.append_id or new_append_id(), count, data)
        self.started = time.monotonic()
        self.send_by = send_by
        self.give_up = min(self.started + retry_window, latest)
        #: Whether an attempt was sent of which no answer came.
        self.sent = False

    def pack(self, last: Position) -> Pack:
        """What is in the log, up to ``last``."""
        append = self.append
        return Pack(append.append_id, last.offset - append.count + 1, append.count, append.data)

    @property
    def waiters(self) -> list[Waiter]:
        """All who are to be told."""
        return [entry.waiter for entry in self.entries]


class Lane:
    """The entries of one key, in order. One group of them is under way at most, which keeps a caller's appends in their order."""

    __slots__ = ("backoff", "group", "key", "left_out", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Entry] = deque()
        #: What is under way, or will be sent again.
        self.group: Group | None = None
        #: Since its key fails by itself.
        self.backoff: Backoff | None = None
        #: By how many trains what is under way was left out.
        self.left_out = 0

    def board(self, records: int, size: int, retry_window: float) -> Group:
        """The group that travels now: what is sent again, or as many entries as ``records`` and bytes, ``size``, allow."""
        if self.group is None:
            self.group = Group(self._next(records, size), retry_window)
        return self.group

    def _next(self, most_records: int, most_bytes: int) -> list[Entry]:
        first = self.waiting.popleft()
        entries, count, size = [first], first.count, len(first.data)
        while not first.alone and self.waiting and not self.waiting[0].alone:
            count, size = count + self.waiting[0].count, size + len(self.waiting[0].data)
            if count > most_records or size > most_bytes:
                break
            entries.append(self.waiting.popleft())
        return entries

    def put_back(self, entries: Sequence[Entry]) -> None:
        """These were not sent: they are the first ones again."""
        self.group = None
        self.waiting.extendleft(reversed(entries))
