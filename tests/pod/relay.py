"""What the tests of the outbox's relay share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import islice

from django.db import transaction

from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board
from tests.pod.world import World, world_of
from via_state.bookkeeping.database import outbox as rows
from via_state.bookkeeping.database.outbox_lanes import lane_of
from via_state.core.records import GENESIS, Position
from via_state.models import OutboxRecord

KEY = Board.numbers.key
LEASE = 2.0


def relaying(kind: str) -> AbstractContextManager[World]:
    """A world of pods that relay soon."""
    return world_of(kind, OUTBOX_INTERVAL=0.1, OUTBOX_LEASE=LEASE, RECONCILE_INTERVAL=0.1)


def rooms(count: int) -> list[str]:
    """Keys of one lane."""
    keys = (Board.room.at(room=number).key for number in range(100_000))
    return list(islice((key for key in keys if lane_of(key) == lane_of(KEY)), count))


def records(world: World) -> list[OutboxRecord]:
    return list(OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix).order_by("id"))


def waiting(world: World) -> int:
    return sum(one.status == OutboxRecord.Status.WAITING for one in records(world))


def left_by_a_killed_process(world: World, *numbers: int, key: str = KEY) -> None:
    """What a process leaves that dies right after the commit."""
    with transaction.atomic(using=POSTGRES_ALIAS):
        for number in numbers:
            rows.add(key, 1, Board.numbers.definition.spec().events.encode([Add(number)]))


def numbers_in(world: World, key: str = KEY) -> list[int]:
    """The numbers in a log, as it is stored."""
    found: list[int] = []
    at = GENESIS
    while (batch := world.run(world.inner.read(key, at))).packs:
        for pack in batch.packs:
            found += [
                event.number
                for event in Board.numbers.definition.spec().events.decode(pack.data, pack.count).events
            ]
            at = Position(batch.head.epoch, pack.last, pack.record_id(pack.last))
    return found


async def limit(world: World) -> None:
    """The stream itself takes no larger message."""
    await world.inner.head("any")
    connection = await world.inner._connections.get()
    stream = connection.client.jetstream()
    config = (await stream.stream_info(f"{world.prefix}_log")).config
    await stream.update_stream(config.evolve(max_msg_size=4000))
