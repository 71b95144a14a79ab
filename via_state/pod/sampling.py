"""Reads a sample of the records of declared logs, to say before a deploy what its code can't read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from via_state.backplanes.base import Backplane
from via_state.core.events import Unreadable
from via_state.core.records import GENESIS, LogBounds, Position
from via_state.core.specs import LogSpec

#: How many keys of a family are looked at, from how many places of each log, and for how many seconds in all.
KEYS, PLACES, SECONDS = 20, 8, 10.0
#: Records in one read, and the distance of offsets from the head at which the last read begins where offsets have gaps.
RECORDS, SPARSE = 50, 50 * 1024


class DeclaredLog(NamedTuple):
    """A declared log; ``reads`` says whether a key is one of its."""

    spec: LogSpec[Any]
    reads: Callable[[str], bool]


class Unread(NamedTuple):
    """A record of a log that this code can't read. ``why`` is for people, of what can't be decoded."""

    spec: LogSpec[Any]
    key: str
    offset: int
    kind: Unreadable
    name: str
    version: int
    why: str


async def sample(backplane: Backplane, logs: Sequence[DeclaredLog]) -> list[Unread]:
    """What was found within `SECONDS`: of each log the first record of each kind, stored name and version.

    Raises `ViaStateError` when the backplane does not answer.
    """
    found: dict[tuple[str, Unreadable, str, int], Unread] = {}
    try:
        async with asyncio.timeout(SECONDS):
            async for spec, key, head in _keys(backplane, logs):
                async for one in _unread(backplane, spec, key, head):
                    found.setdefault((spec.name, one.kind, one.name, one.version), one)
    except TimeoutError:
        pass  # a sample
    return list(found.values())


async def _keys(
    backplane: Backplane, logs: Sequence[DeclaredLog]
) -> AsyncIterator[tuple[LogSpec[Any], str, LogBounds]]:
    for log in logs:
        if not log.spec.family and (head := await backplane.head(log.spec.name)).position.offset:
            yield log.spec, log.spec.name, head
    families = {log: KEYS for log in logs if log.spec.family}
    after = ""
    while families and (page := await backplane.logs(after)):
        for after, head in page.items():
            family = next((one for one in families if one.reads(after)), None)
            if family is None or not head.position.offset:
                continue
            yield family.spec, after, head
            families[family] -= 1
            if not families[family]:
                del families[family]


async def _unread(backplane: Backplane, spec: LogSpec[Any], key: str, head: LogBounds) -> AsyncIterator[Unread]:
    first, last = head.floor.offset, head.position.offset
    places = {first + (last - first) * place // PLACES for place in range(PLACES)}
    places |= {max(first, last - RECORDS), max(first, last - SPARSE)}
    for place in sorted(places):
        after = GENESIS if place == 0 else Position(head.position.epoch, place, "")
        for pack in (await backplane.read(key, head.floor if place == first and first else after, RECORDS)).packs:
            decoded = spec.events.decode(pack.data, pack.count)
            for index, event in enumerate([] if decoded.clean else decoded.events):
                if isinstance(event, Unreadable) and event is not Unreadable.RETIRED:
                    stored = spec.events.stored(pack.data, pack.count, index)
                    why = spec.events.problem(stored) if event is Unreadable.UNDECODABLE else ""
                    yield Unread(spec, key, pack.first + index, event, stored.name, stored.version, why)
