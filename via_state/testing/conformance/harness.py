"""What the parts of the suite share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from via_state.backplanes.base import Backplane
from via_state.core.records import GENESIS, Position

ODD_KEYS = ["a", "A", "a.b.c", "room.~2E", "ünïcödé.鍵", "with space", "a ", "quote'\"%s", "*>", "x" * 512]
#: What means something inside a list, in one notation or another.
ODD_KEYS += ["NULL", "back\\slash", 'both\\"', "{a,b}", "a,b", '","', "a\nb\tc"]
#: As long as a key may be, of characters that take the most bytes and don't compress.
ODD_KEYS.append("".join(chr(0x10000 + number * 2011) for number in range(512)))
#: Enough for several pages of seven.
MANY_KEYS = frozenset([*ODD_KEYS, *(f"many.{number}" for number in range(20))])
FAR = 10**9


def new_id() -> str:
    """An append id."""
    return uuid.uuid4().hex


async def eventually(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Return when ``condition()`` is true; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        await asyncio.sleep(0.005)


async def append(plane: Backplane, key: str, *datas: bytes) -> list[Position]:
    """One append for each of ``datas``, a record each."""
    return [await plane.append(key, new_id(), 1, data) for data in datas]


async def read_all(
    plane: Backplane, key: str, after: Position = GENESIS, limit: int = 1000
) -> list[tuple[int, bytes]]:
    """Everything after a cursor, as (first offset, data) of the packs, read batch by batch."""
    found: list[tuple[int, bytes]] = []
    while (batch := await plane.read(key, after, limit)).packs:
        assert batch.packs[-1].last <= batch.head.offset, "the head was observed no earlier than the packs"
        for pack in batch.packs:
            assert pack.last > after.offset, "a pack brings something new"
            found.append((pack.first, pack.data))
            after = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
    return found


class Harness:
    """Override `make`, `lose_records` where offsets are dense, and `rewrite_history` where the adapter's data can be
    restored or edited from outside.
    """

    def make(self) -> Backplane:
        """A new backplane. Those made within one test share their data if the class says ``shared``."""
        raise NotImplementedError

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Backplane]:
        """One instance, closed afterwards."""
        plane = self.make()
        try:
            yield plane
        finally:
            await plane.close()

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[Backplane, Backplane]]:
        """Two instances over one data set; for an adapter without shared data, one instance twice."""
        async with self.one() as first:
            if not first.shared:
                yield first, first
                return
            async with self.one() as second:
                yield first, second

    async def rewrite_history(self, plane: Backplane, key: str) -> None:
        """Replace the records of a log that has two by two others, as somebody does who restores a backup from before
        they were written, and continues. The epoch stays if a restore keeps it. The default drops the log.
        """
        await plane.drop(key)
        await append(plane, key, b"another", b"history")

    async def lose_records(self, plane: Backplane, key: str, first: int, last: int) -> None:
        """Remove the packs from one offset to another, as somebody does who deletes rows by hand, and nothing else."""
        raise NotImplementedError
