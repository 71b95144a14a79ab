"""Discarding what nobody needs, now."""

from __future__ import annotations

from typing import Any, NamedTuple

from via_state.core.records import GENESIS, Position
from via_state.core.specs import LogSpec
from via_state.operations.logs import Selected
from via_state.pod.pod import Pod


class Freed(NamedTuple):
    """Records and bytes of a prefix."""

    records: int
    size: int


def compact(pod: Pod, log: Selected, *, dry: bool = False) -> tuple[Freed, str]:
    """Discard what snapshots of a log cover; returns what that was, and what keeps the rest. ``dry`` only looks."""
    if log.definition is None:
        return Freed(0, 0), "nothing in this code declares it"
    spec = log.definition.built()
    if spec.snapshots is None or not spec.snapshots.compact:
        return Freed(0, 0), "its declaration"
    return pod.thread.call(_compact(pod, log, spec, dry))


async def _compact(pod: Pod, log: Selected, spec: LogSpec[Any], dry: bool) -> tuple[Freed, str]:
    epoch = log.head.position.epoch
    hold = await pod.snapshots.decide(log.key, epoch, spec, dry=dry)
    freed = await _measure(pod, log.key, log.head.floor, hold.offset)
    if hold.offset and not dry:
        await pod.backplane.compact(log.key, hold.offset, epoch)
    return freed, hold.why


async def _measure(pod: Pod, key: str, floor: Position, through: int) -> Freed:
    """What lies between the floor and an offset. Of a pack that reaches beyond it, the bytes stay."""
    records = size = 0
    after = floor if floor.offset else GENESIS
    while after.offset < through:
        batch = await pod.backplane.read(key, after, 5000)
        if not batch.packs:
            break
        for pack in batch.packs:
            first, last = max(pack.first, after.offset + 1), min(pack.last, through)
            records += max(0, last - first + 1)
            size += len(pack.data) if pack.last <= through else 0
        end = batch.packs[-1]
        after = Position(batch.head.epoch, end.last, end.record_id(end.last))
    return Freed(records, size)
