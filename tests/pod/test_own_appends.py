"""A pod folds what it has appended itself without reading it back, where the backplane's answer proves what it follows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping

import pytest
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board, Fragile, eventually, healed
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.records import Batch, Position
from via_state.exceptions import KeyHalted
from via_state.pod.pod import Pod

ROOMS = 20
pytestmark = [
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


class Watched(PostgresBackplane):
    """``read_keys``: whose logs were read. While ``held``, what was read is not handed on."""

    def __init__(self, prefix: str) -> None:
        super().__init__({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix})
        self.read_keys: list[str] = []
        self.held: asyncio.Event | None = None
        self.holding = 0

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        self.read_keys.append(key)
        batch = await super().read(key, after, limit)
        if self.held is not None:
            self.holding += 1
            await self.held.wait()
        return batch

    async def read_many(self, after: Mapping[str, Position], limit: int = 1000) -> dict[str, Batch]:
        return {key: await self.read(key, position, limit) for key, position in after.items()}


@pytest.fixture
def prefix() -> Iterator[str]:
    """Whose pods hear of changes by doorbells alone."""
    name = uuid.uuid4().hex
    with override_settings(
        VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": name, "RECONCILE_INTERVAL": 3600.0, "FOLD_TIMEOUT": 60.0}
    ):
        yield name


@pytest.fixture
def plane(prefix: str) -> Watched:
    return Watched(prefix)


@pytest.fixture
def pod(plane: Watched) -> Iterator[Pod]:
    made = Pod(plane)
    yield made
    made.close()


@pytest.fixture
def peer(plane: Watched, prefix: str) -> Iterator[Pod]:
    made = Pod(PostgresBackplane({"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix}))
    yield made
    made.close()


async def heard_all(pod: Pod, peer: Pod, plane: Watched) -> None:
    """The doorbells that ``pod`` has rung came back to it, and it looks at nothing."""
    await eventually(lambda: plane._notifier._flight.idle, "the ringing")
    seen = len(await Board.numbers.using(pod).aread())
    await Board.numbers.using(peer).aappend(Add(seen))
    for _ in range(2000):
        if len(await Board.numbers.using(pod).aread()) > seen:
            break
        await asyncio.sleep(0.005)
    else:
        raise AssertionError("the doorbell of another pod was not heard")
    flights = [pod.reconciler._flight, *(one.flight for one in pod.reconciler._followings)]
    await eventually(lambda: all(flight.task is None for flight in flights), "the end of the sweeps")
    await pod.adrain()


async def test_what_a_pod_appends_is_not_read_back(pod: Pod, peer: Pod, plane: Watched) -> None:
    rooms = [Board.room.at(room=room).using(pod) for room in range(ROOMS)]
    for room in rooms:
        assert await room.aread() == []
    await heard_all(pod, peer, plane)
    plane.read_keys.clear()
    for number in range(5):
        await asyncio.gather(*(room.aappend(Add(number)) for room in rooms))
        assert [await room.aread() for room in rooms] == [list(range(number + 1))] * ROOMS
    for number in range(5, 8):
        await asyncio.gather(*(rooms[0].aappend(Add(number)) for _ in range(3)))
    await heard_all(pod, peer, plane)
    assert set(plane.read_keys) <= {Board.numbers.key}
    assert await Board.room.at(room=0).using(peer).aread() == await rooms[0].aread()


async def test_what_others_append_in_between_is_read(pod: Pod, peer: Pod) -> None:
    room, theirs = Board.room.at(room=1).using(pod), Board.room.at(room=1).using(peer)
    assert await room.aread() == await theirs.aread() == []
    for number in range(0, 20, 2):
        await theirs.aappend(Add(number))
        offset = await room.aappend(Add(number + 1))
        assert await room.aread(at_least=offset) == list(range(number + 2))
    assert await theirs.aread(at_least=offset) == list(range(20))


async def test_a_read_that_an_own_append_overtakes_neither_loses_nor_doubles_anything(
    pod: Pod, peer: Pod, plane: Watched
) -> None:
    room, theirs = Board.room.at(room=2).using(pod), Board.room.at(room=2).using(peer)
    await room.aappend(Add(0))
    assert await room.aread() == [0]
    for later in (False, True):  # whether the read is older than the append, or brings it, and more
        before = await room.aread()
        number = len(before)
        plane.held, plane.holding = asyncio.Event(), 0
        look = asyncio.create_task(pod.alook(room.key, room.definition.spec()))
        await eventually(lambda: plane.holding == 1, "a read")
        offset = await room.aappend(Add(number))
        assert await room.aread(at_least=offset) == [*before, number], "nobody waits for the read"
        if later:
            await theirs.aappend(Add(number + 1))
        plane.held.set()
        plane.held = None
        await look
        assert await room.aread() == list(range(number + 1 + later))
    assert (await room.astatus()).halted is None


async def test_an_append_to_a_rewritten_history_is_not_folded_onto_the_old_one(pod: Pod, plane: Watched) -> None:
    """Epoch and offsets are as they were, as after a restore; the record below is another one."""
    room = Board.room.at(room=3).using(pod)
    await room.aread()
    for number in range(3):
        await room.aappend(Add(number))
    assert await room.aread() == [0, 1, 2]

    async def rewrite() -> None:
        async with plane._connections.use(write=True) as connection:
            await connection.execute(
                "WITH log AS (UPDATE via_state_log SET last_append = gen_random_uuid() WHERE prefix = %s RETURNING id, last, last_append) "
                "UPDATE via_state_pack pack SET append_id = log.last_append, data = replace(data::text, '32', '37')::bytea "
                "FROM log WHERE log_id = log.id AND pack.last = log.last",
                (plane._prefix,),
            )

    await pod.thread.acall(rewrite())
    offset = await room.aappend(Add(3))
    assert await room.aread(at_least=offset) == [0, 1, 7, 3]


async def test_an_own_append_whose_fold_raises_halts_its_key(pod: Pod) -> None:
    healed.clear()
    fragile = Board.fragile.using(pod)
    assert await fragile.aread() == 0
    await fragile.aappend(Fragile(3))
    offset = await fragile.aappend(Fragile(-1))
    with pytest.raises(KeyHalted):
        await fragile.aread(at_least=offset)
    assert await fragile.aread() == 3
    assert "raised" in str((await fragile.astatus()).halted)
    healed.append(True)
    try:
        await pod.thread.acall(_ring(pod, fragile.key))
        assert await fragile.aread(at_least=offset) == 2
    finally:
        healed.clear()


async def _ring(pod: Pod, key: str) -> None:
    pod.replicas.rang(key)
    task = pod.replicas.logs()[0].task
    if task is not None:
        await asyncio.wait([task])


async def test_a_log_that_is_dropped_begins_again_with_the_next_append(pod: Pod, plane: Watched) -> None:
    room = Board.room.at(room=4).using(pod)
    await room.aread()
    await room.aappend_many([Add(1), Add(2)])
    await pod.thread.acall(plane.drop(room.key))
    offset = await room.aappend(Add(3))
    assert await room.aread(at_least=offset) == [3]
