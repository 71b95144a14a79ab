"""A backplane that fails when it is told to, around a real one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from via_state.backplanes.base import Backplane, Hear, Hearing, Ring, Watch
from via_state.core.findings import Finding
from via_state.core.records import Append, Batch, Cell, Changes, LogBounds, Position, Revision
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown, ViaStateError


class Fault(Enum):
    """What goes wrong with a call."""

    BEFORE = "nothing is sent"
    LOST_REQUEST = "sent, never arrives, no answer"
    LOST_ANSWER = "sent, takes effect, no answer"


class FaultyBackplane(Backplane):
    """``faults[verb]`` is a queue: each call of the verb takes one; None or an empty queue means that it works.

    ``down`` makes every verb fail before anything is sent; ``breaks``: what is lost on the way leaves it so. ``deaf`` swallows
    doorbells.
    """

    shared = durable = compacts = True
    retry_window = 5.0

    def __init__(self, inner: Backplane) -> None:
        super().__init__({})
        self.inner = inner
        self.max_append_bytes, self.max_append_records = inner.max_append_bytes, inner.max_append_records
        self.batch_records = inner.batch_records
        self.max_value_bytes = inner.max_value_bytes
        self.max_message_bytes = inner.max_message_bytes
        self.trains = inner.trains  # type: ignore[misc]
        self.durable = inner.durable  # type: ignore[misc]
        self.faults: dict[str, deque[Fault | None]] = {}
        self.calls: dict[str, int] = {}
        self.down = self.breaks = False
        self.deaf = False

    def fail(self, verb: str, *faults: Fault | None) -> None:
        """The next calls of ``verb`` go wrong in these ways."""
        self.faults.setdefault(verb, deque()).extend(faults)

    async def _do(self, verb: str, *args: Any) -> Any:
        self.calls[verb] = self.calls.get(verb, 0) + 1
        queue = self.faults.get(verb)
        fault = queue.popleft() if queue else None
        if self.down or fault is Fault.BEFORE:
            raise BackplaneUnavailable(f"{verb}: injected")
        if fault is Fault.LOST_REQUEST:
            self.down = self.breaks
            raise OutcomeUnknown(f"{verb}: injected")
        result = await getattr(self.inner, verb)(*args)
        if fault is Fault.LOST_ANSWER:
            self.down = self.breaks  # whoever waits for that knows that it has taken effect
            raise OutcomeUnknown(f"{verb}: injected")
        return result

    async def load_many(self, keys: Iterable[str]) -> dict[str, Cell]:
        return await self._do("load_many", keys)  # type: ignore[no-any-return]

    async def revisions(self, keys: Iterable[str]) -> dict[str, Revision]:
        return await self._do("revisions", keys)  # type: ignore[no-any-return]

    async def heads(self, keys: Iterable[str]) -> dict[str, LogBounds]:
        return await self._do("heads", keys)  # type: ignore[no-any-return]

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        return await self._do("cas", key, expected, data, ttl)  # type: ignore[no-any-return]

    async def cells(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, Cell]:
        return await self._do("cells", after, limit, begin)  # type: ignore[no-any-return]

    async def prune(self, limit: int = 1000) -> int:
        return await self._do("prune", limit)  # type: ignore[no-any-return]

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        return await self._do("append", key, append_id, count, data)  # type: ignore[no-any-return]

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        return await self._do("append_many", appends)  # type: ignore[no-any-return]

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        return await self._do("read", key, after, limit)  # type: ignore[no-any-return]

    async def read_many(self, after: Mapping[str, Position], limit: int = 1000) -> dict[str, Batch]:
        return await self._do("read_many", after, limit)  # type: ignore[no-any-return]

    async def head(self, key: str) -> LogBounds:
        return await self._do("head", key)  # type: ignore[no-any-return]

    async def count(self, key: str, after: int, head: LogBounds) -> int:
        return await self._do("count", key, after, head)  # type: ignore[no-any-return]

    async def changed(self, cursor: object | None) -> Changes:
        return await self._do("changed", cursor)  # type: ignore[no-any-return]

    def watch(self, ring: Ring) -> Watch:
        return self.inner.watch(lambda key: None if self.deaf else ring(key))

    async def publish(self, topic: str, data: bytes) -> None:
        await self._do("publish", topic, data)

    def hear(self, topic: str, hear: Hear) -> Hearing:
        return self.inner.hear(topic, hear)

    async def drop(self, key: str, last: Position | None = None) -> None:
        await self._do("drop", key, last)

    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        return await self._do("logs", after, limit, begin)  # type: ignore[no-any-return]

    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        return await self._do("compact", key, through, epoch)  # type: ignore[no-any-return]

    async def examine(self) -> list[Finding]:
        return await self._do("examine")  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self.inner.close()
