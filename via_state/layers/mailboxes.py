"""Messages that wait for a reader, and readers that wait for a message. From any thread, and for readers on any event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

#: Between two looks at all mailboxes for what nobody came for, in seconds.
CLEANING = 10.0


class Waiting(NamedTuple):
    """A message. ``until``: by `time.monotonic`."""

    data: bytes
    until: float


class _Reader(NamedTuple):
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Waiting]


#: A message on its way to a reader.
_Handed = tuple[str, asyncio.Future[Waiting], Waiting]


class Mailboxes:
    """``capacity``: how many messages may wait for the readers of a channel."""

    def __init__(self, capacity: Callable[[str], int]) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._messages: dict[str, deque[Waiting]] = {}
        self._readers: dict[str, deque[_Reader]] = {}
        self._handed: dict[asyncio.AbstractEventLoop, list[_Handed]] = {}  # what a loop is called for, once
        self._cleaned = time.monotonic()

    def put(self, channel: str, data: bytes, until: float) -> bool:
        """Give it to a reader, or let it wait for one. Whether there was room."""
        with self._lock:
            return self._put(channel, Waiting(data, until), front=False)

    def has_reader(self, channel: str) -> bool:
        """Whether somebody waits for a message."""
        return bool(self._readers.get(channel))

    def pop(self, channel: str) -> Waiting | None:
        """The oldest message that waits, if there is one."""
        with self._lock:
            return self._pop(channel)

    def put_back(self, channel: str, one: Waiting) -> None:
        """A message that its reader did not take after all."""
        with self._lock:
            self._put(channel, one, front=True)

    async def take(self, channel: str) -> Waiting:
        """The next message. Cancelled, it takes none."""
        loop = asyncio.get_running_loop()
        reader = _Reader(loop, loop.create_future())
        with self._lock:
            one = self._pop(channel)
            if one is not None:
                return one
            self._readers.setdefault(channel, deque()).append(reader)
        try:
            return await reader.future
        except asyncio.CancelledError:
            if reader.future.done() and not reader.future.cancelled():
                self.put_back(channel, reader.future.result())
            raise
        finally:
            self._forget(channel, reader)

    def clear(self) -> None:
        """No message waits."""
        with self._lock:
            self._messages.clear()

    def _put(self, channel: str, one: Waiting, *, front: bool) -> bool:
        self._clean()
        readers = self._readers.get(channel)
        while readers:
            if self._hand(readers.popleft(), channel, one):
                return True
        queue = self._messages.setdefault(channel, deque())
        if front:
            queue.appendleft(one)
            return True
        if len(queue) >= self._capacity(channel):
            _expire(queue)
            if len(queue) >= self._capacity(channel):
                return False
        queue.append(one)
        return True

    def _hand(self, reader: _Reader, channel: str, one: Waiting) -> bool:
        """Call the reader's loop, once for all that is on its way there. False when that is closed."""
        handed = self._handed.setdefault(reader.loop, [])
        if reader.loop.is_closed():
            del self._handed[reader.loop]
            return False
        handed.append((channel, reader.future, one))
        if len(handed) == 1:
            try:
                reader.loop.call_soon_threadsafe(self._give, reader.loop)
            except RuntimeError:  # it was closed meanwhile
                del self._handed[reader.loop]
                return False
        return True

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the readers' loop. They may have been cancelled meanwhile."""
        with self._lock:
            handed = self._handed.pop(loop, [])
        for channel, future, one in handed:
            if future.done():
                self.put_back(channel, one)
            else:
                future.set_result(one)

    def _pop(self, channel: str) -> Waiting | None:
        queue = self._messages.get(channel, deque())
        found = None
        while queue and found is None:
            one = queue.popleft()
            found = one if one.until > time.monotonic() else None
        if not queue:
            self._messages.pop(channel, None)
        return found

    def _forget(self, channel: str, reader: _Reader) -> None:
        with self._lock:
            readers = self._readers.get(channel)
            if readers is not None:
                if reader in readers:
                    readers.remove(reader)
                if not readers:
                    del self._readers[channel]

    def _clean(self) -> None:
        """A channel whose reader is gone, as after a crash of its consumer, must not be kept for ever."""
        if time.monotonic() - self._cleaned < CLEANING:
            return
        self._cleaned = time.monotonic()
        for channel, queue in list(self._messages.items()):
            _expire(queue)
            if not queue:
                del self._messages[channel]


def _expire(queue: deque[Waiting]) -> None:
    """Messages may leave earlier than those before them: what another process kept has less time left."""
    now = time.monotonic()
    if any(one.until <= now for one in queue):
        left = [one for one in queue if one.until > now]
        queue.clear()
        queue.extend(left)
