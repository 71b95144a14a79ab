"""What a block of code reads and writes is known with its positions; several pods serve code of one process at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board
from tests.pod.world import EVERY, World, kind_of, world_of
from via_state.core.offsets import Offset
from via_state.core.records import GENESIS, Position, Revision
from via_state.exceptions import CellUnreadable, InvalidOffset
from via_state.pod.default import current_pod, using_pod
from via_state.pod.pod import Pod
from via_state.pod.reading.tracked_reads import TrackedReads, track_reads
from via_state.pod.writing.tracked_writes import TrackedWrites, track_writes

NUMBERS, HITS, ROOM = Board.numbers.key, Board.hits.key, Board.room.at(room=7).key


def positions(reads: TrackedReads, pod: Pod) -> dict[str, Position]:
    return {key: read.shown.position for key, read in reads.of(pod).items()}


# Reads --------------------------------------------------------------------------------------------------------


async def test_a_block_knows_what_it_read_and_at_which_position(pod: Pod) -> None:
    numbers, hits = Board.numbers.using(pod), Board.hits.using(pod)
    await numbers.aappend(Add(1))
    with track_reads() as reads:
        assert await numbers.aread() == [1]
        assert await hits.aread() == 0
        assert await sync_to_async(Board.room.using(pod).at(room=7).read)() == []
        assert await sync_to_async(hits.read)() == 0

    shown = {key: (await pod.ashown(key, read.spec)).position for key, read in reads.of(pod).items()}
    assert positions(reads, pod) == shown
    assert list(shown) == [NUMBERS, HITS, ROOM]
    assert shown[HITS] == shown[ROOM] == GENESIS


async def test_a_block_is_never_torn_by_what_happens_meanwhile(pod: Pod) -> None:
    numbers, hits = Board.numbers.using(pod), Board.hits.using(pod)
    await numbers.aappend(Add(1))
    with track_reads() as reads:
        await numbers.aread()
        await hits.aread()
        before = positions(reads, pod)
        await numbers.aappend(Add(2))
        await hits.aset(5)

        assert (await numbers.aread(), await hits.aread()) == ([1], 0)
        assert (await sync_to_async(numbers.read)(), await sync_to_async(hits.read)()) == ([1], 0)
        assert positions(reads, pod) == before
    assert (await numbers.aread(), await hits.aread()) == ([1, 2], 5)


async def test_a_read_that_asks_for_more_gets_it_and_the_block_is_as_old_as_its_oldest_part(pod: Pod) -> None:
    numbers, hits = Board.numbers.using(pod), Board.hits.using(pod)
    with track_reads() as reads:
        assert await numbers.aread() == []
        offset = await numbers.aappend(Add(1))
        assert await numbers.aread(at_least=offset) == [1]
        assert await sync_to_async(numbers.read)(at_least=offset) == [1]
        assert await numbers.aread() == []
        with track_writes() as writes:
            await hits.aset(5)
        revision = writes.of(pod)[HITS].at
        assert isinstance(revision, Revision)
        assert await pod.aget(HITS, Board.hits.definition.spec(), at_least=revision) == 5

    assert positions(reads, pod) == {NUMBERS: GENESIS, HITS: Position("", *revision)}


async def test_tasks_and_threads_of_a_block_share_its_reads(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)
    with track_reads() as reads:
        found = await asyncio.gather(*[numbers.aread() for _ in range(20)], sync_to_async(numbers.read)())

    assert found == [[]] * 21
    assert len({id(one) for one in found}) == 1
    assert list(reads.of(pod)) == [NUMBERS]


async def test_blocks_have_reads_of_their_own(pod: Pod, peer: Pod) -> None:
    with track_reads() as outer:
        await Board.numbers.using(pod).aread()
        with track_reads() as inner:
            await Board.hits.using(pod).aread()
        await Board.hits.using(peer).aread()
    await Board.names.using(pod).aread()

    assert [list(one) for one in (outer.of(pod), outer.of(peer), inner.of(pod))] == [[NUMBERS], [HITS], [HITS]]


async def test_a_read_that_failed_is_not_among_them(pod: Pod, backplane: FaultyBackplane) -> None:
    await backplane.cas(HITS, None, b"of nobody", None)
    with track_reads() as reads:
        with pytest.raises(CellUnreadable):
            await Board.hits.using(pod).aread()
        with pytest.raises(InvalidOffset):
            await Board.numbers.using(pod).aread(at_least=7)  # type: ignore[arg-type]

    assert reads.of(pod) == {}


# Writes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(kind_of(request)) as world:
        yield world


def seen_by(other: Pod, writes: TrackedWrites, pod: Pod) -> dict[str, Any]:
    """What another pod reads when it waits for these writes."""
    found: dict[str, Any] = {}
    for key, (spec, at) in writes.of(pod).items():
        verb: Any = other.read if isinstance(at, Offset) else other.get
        found[key] = verb(key, spec, at_least=at)
    return found


@pytest.mark.parametrize("world", EVERY, indirect=True)
def test_another_pod_shows_what_a_block_wrote_when_it_waits_for_that(world: World) -> None:
    pod, other = world.start(), world.start()
    numbers, hits, names = Board.numbers.using(pod), Board.hits.using(pod), Board.names.using(pod)
    names.set(["gone"])
    assert seen_by(other, TrackedWrites(), pod) == {}
    with track_writes() as writes:
        numbers.append(Add(1))
        numbers.append_many([Add(2), Add(3)])
        hits.set(5)
        hits.update(lambda value: value + 1)
        names.reset()
        Board.room.using(pod).at(room=7).append(Add(9), wait=False)

    assert seen_by(other, writes, pod) == {NUMBERS: [1, 2, 3], HITS: 6, Board.names.key: [], ROOM: [9]}
    assert writes.of(other) == {}


async def test_awaited_verbs_are_known_as_well(pod: Pod) -> None:
    with track_writes() as writes:
        offsets = await Board.numbers.using(pod).aappend_many([Add(1), Add(2)])
        await Board.hits.using(pod).aupdate(lambda value: value + 1)
        await Board.names.using(pod).areset()
        await Board.flag.using(pod).at(name="x").aset(True)
        await Board.flag.using(pod).at(name="x").areset()

    at = {key: write.at for key, write in writes.of(pod).items()}
    assert at[NUMBERS] == offsets[-1]
    assert isinstance(at[HITS], Revision)
    assert Board.names.key not in at, "there was nothing to reset"
    flag = Board.flag.at(name="x").key
    assert at[flag] == (await pod.thread.acall(pod._cell(flag, Board.flag.definition.spec()))).stored


async def test_of_writes_that_overtake_each_other_the_newest_counts(pod: Pod) -> None:
    with track_writes() as writes:
        offsets = await asyncio.gather(*[Board.numbers.using(pod).aappend(Add(n)) for n in range(30)])
        await asyncio.gather(*[Board.hits.using(pod).aupdate(lambda value: value + 1) for _ in range(5)])

    at = {key: write.at for key, write in writes.of(pod).items()}
    assert at[NUMBERS] == max(offsets)
    assert at[HITS] == Revision(5, (await pod.ashown(HITS, Board.hits.definition.spec())).position.record_id)


def test_an_older_write_never_replaces_a_newer_one(pod: Pod) -> None:
    writes, spec = TrackedWrites(), Board.numbers.definition.spec()
    for offset in (Offset(7, "e"), Offset(5, "e"), Offset(2, "restored")):
        writes.note(pod, NUMBERS, spec, offset)
    found = writes.of(pod)[NUMBERS].at
    assert isinstance(found, Offset)
    assert (found, found.epoch) == (2, "restored")


async def test_writes_of_others_and_those_that_failed_are_not_among_them(pod: Pod) -> None:
    async def other() -> None:
        await Board.hits.using(pod).aset(3)

    task = asyncio.create_task(other())
    with track_writes() as writes:
        await task
        with pytest.raises(ZeroDivisionError):
            await Board.hits.using(pod).aupdate(lambda value: value // 0)
    await Board.numbers.using(pod).aappend(Add(1))

    assert writes.of(pod) == {}


# Pods ---------------------------------------------------------------------------------------------------------


async def test_two_pods_serve_tasks_of_one_process_at_once(pod: Pod, peer: Pod) -> None:
    before, both = current_pod(), asyncio.Barrier(2)

    async def request(served_by: Pod) -> tuple[Pod, Pod, Pod]:
        with using_pod(served_by):
            await both.wait()
            await Board.hits.aread()
            inside = current_pod(), await sync_to_async(current_pod)()
        return *inside, current_pod()

    assert list(await asyncio.gather(request(pod), request(peer))) == [(pod, pod, before), (peer, peer, before)]
    assert all(one.replicas.loaded_cell(HITS) is not None for one in (pod, peer))
    with using_pod(pod), using_pod(peer):
        assert current_pod() is peer
        assert Board.hits.using(pod)._on() is pod
