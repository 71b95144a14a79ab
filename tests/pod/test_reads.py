"""Reading: convergence, at_least, doorbells lost, keys that are halted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from prometheus_client import REGISTRY

from tests.faults import Fault, FaultyBackplane
from tests.pod import board
from tests.pod.board import Add, Board, Fragile, eventually
from via_state import Offset
from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.records import GENESIS
from via_state.exceptions import (
    BackplaneUnavailable,
    EpochChanged,
    InvalidKey,
    InvalidOffset,
    KeyHalted,
    NotCaughtUp,
    SyncVerbInEventLoop,
)
from via_state.pod.pod import Pod

QUICK = override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.05, "READ_TIMEOUT": 0.2})


async def test_what_one_pod_appends_another_reads(pod: Pod, peer: Pod) -> None:
    assert await Board.numbers.using(peer).aread() == []
    offset = await Board.numbers.using(pod).aappend(Add(1))
    assert await Board.numbers.using(peer).aread(at_least=offset) == [1]


async def test_a_cold_pod_reads_what_is_there(pod: Pod, peer: Pod) -> None:
    await Board.numbers.using(pod).aappend_many([Add(number) for number in range(5000)])
    assert await Board.numbers.using(peer).aread() == list(range(5000))


async def test_an_offset_is_handed_to_another_process_as_its_token(pod: Pod, peer: Pod) -> None:
    offset = await Board.numbers.using(pod).aappend(Add(1))
    answer = json.dumps({"offset": offset, "token": offset.token()})
    there = Board.numbers.using(peer)
    assert await there.aread(at_least=Offset.parse(json.loads(answer)["token"])) == [1]
    wrong: list[Any] = [json.loads(answer)["offset"], True, "1", offset.token()]
    for plain in wrong:
        with pytest.raises(InvalidOffset, match=r"send offset\.token\(\), and pass Offset\.parse"):
            await there.aread(at_least=plain)
        with pytest.raises(InvalidOffset):
            await sync_to_async(there.read, thread_sensitive=False)(at_least=plain)


@QUICK
async def test_a_lost_doorbell_costs_latency_not_data(pod: Pod, peer: Pod, backplane: FaultyBackplane) -> None:
    await Board.numbers.using(peer).aread()
    await Board.hits.using(peer).aread()
    backplane.deaf = True
    await Board.numbers.using(pod).aappend(Add(1))
    await Board.hits.using(pod).aset(7)
    async with asyncio.timeout(10):
        while await Board.numbers.using(peer).aread() != [1] or await Board.hits.using(peer).aread() != 7:
            await asyncio.sleep(0.005)


@QUICK
async def test_the_sweep_asks_once_whatever_the_number_of_keys(pod: Pod, backplane: FaultyBackplane) -> None:
    for room in range(50):
        await Board.room.at(room=room).using(pod).aread()
    before = dict(backplane.calls)
    await eventually(lambda: backplane.calls["changed"] >= before["changed"] + 5, "five sweeps")
    assert backplane.calls["read"] == before["read"]


@QUICK
async def test_an_offset_that_is_not_there_yet_is_said(pod: Pod) -> None:
    offset = await Board.numbers.using(pod).aappend(Add(1))
    with pytest.raises(NotCaughtUp, match=r"is at offset 1 .* did not reach offset 9"):
        await Board.numbers.using(pod).aread(at_least=Offset(9, offset.epoch), timeout=0.05)


async def test_an_offset_of_another_epoch_is_refused(pod: Pod, backplane: FaultyBackplane) -> None:
    numbers = Board.numbers.using(pod)
    old = await numbers.aappend_many([Add(1), Add(2)])
    await numbers.aread()
    await pod.thread.acall(backplane.drop(Board.numbers.key))
    new = await numbers.aappend(Add(3))
    assert await numbers.aread(at_least=new) == [3]
    with pytest.raises(EpochChanged):
        await numbers.aread(at_least=old[-1])


async def test_a_rewritten_log_is_folded_again_and_counted(pod: Pod, backplane: FaultyBackplane) -> None:
    def resets() -> float:
        return REGISTRY.get_sample_value("via_events_epoch_reset_total", {"key": "tests.numbers"}) or 0.0

    numbers = Board.numbers.using(pod)
    await numbers.aappend_many([Add(1), Add(2)])
    assert await numbers.aread() == [1, 2]
    before = resets()
    await pod.thread.acall(backplane.drop(Board.numbers.key))
    assert await numbers.aread(at_least=await numbers.aappend(Add(3))) == [3]
    assert resets() == before + 1


async def test_the_backplane_away_at_first_use_is_said_and_forgotten(pod: Pod, backplane: FaultyBackplane) -> None:
    backplane.down = True
    with override_settings(VIA_STATE={"READ_TIMEOUT": 0.1}), pytest.raises(BackplaneUnavailable):
        await Board.numbers.using(pod).aread()
    backplane.down = False
    assert await Board.numbers.using(pod).aread() == []


async def test_the_backplane_away_later_leaves_the_last_value(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    numbers = Board.numbers.using(pod)
    await numbers.aappend(Add(1))
    assert await numbers.aread() == [1]
    backplane.down = True
    assert await numbers.aread() == [1]
    backplane.down = False
    assert await numbers.aread(at_least=await Board.numbers.using(peer).aappend(Add(2))) == [1, 2]


@pytest.mark.parametrize("fault", [Fault.BEFORE])
async def test_reads_that_fail_in_between_lose_nothing(
    pod: Pod, peer: Pod, backplane: FaultyBackplane, fault: Fault
) -> None:
    await Board.numbers.using(peer).aread()
    for number in range(50):
        backplane.fail("read", fault if number % 3 else None)
        offset = await Board.numbers.using(pod).aappend(Add(number))
    assert await Board.numbers.using(peer).aread(at_least=offset) == list(range(50))


async def test_a_fold_that_raises_halts_its_key_alone_and_resumes(pod: Pod) -> None:
    def halted() -> float:
        return REGISTRY.get_sample_value("via_halted", {"key": "tests.fragile", "reason": "fold"}) or 0.0

    fragile = Board.fragile.using(pod)
    await fragile.aappend_many([Fragile(1), Fragile(2)])
    assert await fragile.aread() == 3
    bad = await fragile.aappend(Fragile(-5))
    await fragile.aappend(Fragile(4))
    assert await fragile.aread() == 3, "a halted key keeps its last good value"
    status = await fragile.astatus()
    assert status.position.offset == 2
    assert "ValueError: a negative number" in str(status.halted)
    assert halted() == 1
    with pytest.raises(KeyHalted, match="a negative number"):
        await fragile.aread(at_least=bad)
    assert await Board.numbers.using(pod).aappend(Add(1)) == 1, "other keys continue"
    board.healed.append(True)
    pod.thread.soon(pod.replicas.log(fragile.key, Board.fragile.definition.spec()).ring)
    assert await fragile.aread(at_least=await fragile.aappend(Fragile(1))) == 3
    assert (await fragile.astatus()).halted is None
    assert halted() == 0


async def test_a_log_without_its_beginning_halts_visibly(pod: Pod, peer: Pod, backplane: FaultyBackplane) -> None:
    await Board.numbers.using(pod).aappend_many([Add(1), Add(2)])
    await pod.thread.acall(backplane.compact(Board.numbers.key, 2))
    with pytest.raises(KeyHalted, match="were discarded"):
        await Board.numbers.using(peer).aread()


async def test_unreadable_records_are_counted_and_newer_ones_halt(pod: Pod, backplane: FaultyBackplane) -> None:
    class Tomorrow(Add):
        event_name = "Add"
        event_version = 2

    newer = EventCodec([EventType.of(Tomorrow)])

    async def raw(number: int, data: bytes) -> None:
        await backplane.append(Board.numbers.key, f"{number:032x}", 1, data)

    await pod.thread.acall(raw(1, b'[["Add",1,{"number":1}]]'))
    await pod.thread.acall(raw(2, b'[["Add",1,{"number":"one"}]]'))
    await pod.thread.acall(raw(3, b'[["Gone",1,{}]]'))
    await pod.thread.acall(raw(4, b'[["Add",1,{"number":2}]]'))
    numbers = Board.numbers.using(pod)
    assert await numbers.aread() == [1, 2]
    await pod.thread.acall(raw(5, newer.encode([Tomorrow(3)])))
    await numbers.aappend(Add(4))
    assert await numbers.aread() == [1, 2]
    status = await numbers.astatus()
    assert status.position.offset == 4
    assert "newer version" in str(status.halted)


async def test_changes_gives_the_value_and_each_newer_one(pod: Pod, peer: Pod) -> None:
    await Board.numbers.using(peer).aappend(Add(1))
    seen = []
    async with asyncio.timeout(10), contextlib.aclosing(Board.numbers.using(pod).changes()) as changes:
        async for value in changes:
            seen.append(value)
            if len(value) == 3:
                break
            await Board.numbers.using(peer).aappend(Add(len(value) + 1))
    assert seen[0] == [1]
    assert seen[-1] == [1, 2, 3]


async def test_members_of_a_family_are_apart_and_leave_when_idle(pod: Pod, backplane: FaultyBackplane) -> None:
    with pytest.raises(InvalidKey):
        await Board.room.using(pod).aread()
    for room in (1, 2):
        await Board.room.at(room=room).using(pod).aappend(Add(room))
        assert await Board.room.at(room=room).using(pod).aread() == [room]
    await Board.numbers.using(pod).aread()
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.05, "IDLE_TTL": 0.05}):
        pod.thread.soon(pod.reconciler.look)
        await eventually(lambda: not pod.replicas.holds("tests.room.2"), "eviction")
    assert pod.replicas.holds("tests.numbers"), "plain keys stay"
    assert await Board.room.at(room=1).using(pod).aread() == [1]


async def test_plain_keys_read_in_an_event_loop_and_families_do_not(pod: Pod) -> None:
    numbers = Board.numbers.using(pod)
    assert numbers.read() == [], "cold"
    await numbers.aappend(Add(1))
    assert numbers.read() == [1], "warm"
    assert Board.hits.using(pod).read() == 0
    room = Board.room.at(room=1).using(pod)
    for _ in range(2):
        with pytest.raises(SyncVerbInEventLoop, match="await aread"):
            room.read()
        with pytest.raises(SyncVerbInEventLoop):
            numbers.read(at_least=Offset(1, "x"))
        await room.aread()
    for verb in (lambda: numbers.append(Add(1)), lambda: Board.hits.using(pod).set(1), lambda: numbers.status()):
        with pytest.raises(SyncVerbInEventLoop):
            verb()


async def test_an_untouched_log_stands_at_its_beginning(pod: Pod) -> None:
    assert (await Board.numbers.using(pod).astatus()).position == GENESIS


async def test_the_last_value_stays_in_sight_until_a_rewritten_log_is_folded_whole(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    numbers = Board.numbers.using(pod)
    await numbers.aappend_many([Add(number) for number in range(10)])
    assert len(await numbers.aread()) == 10
    await Board.numbers.using(peer).aread()
    seen: list[int] = []

    async def watch() -> None:
        async with contextlib.aclosing(numbers.changes()) as changes:
            async for value in changes:
                seen.append(len(value))
                if len(value) == 5000:
                    return

    watching = asyncio.create_task(watch())
    await eventually(lambda: seen, "the first value")
    backplane.deaf = True
    await pod.thread.acall(backplane.drop(Board.numbers.key))
    last = None
    for start in range(0, 5000, 500):
        last = await Board.numbers.using(peer).aappend_many(
            [Add(n) for n in range(start, start + 500)], wait=False
        )
    assert last is not None
    assert len(await numbers.aread(at_least=last[-1])) == 5000
    async with asyncio.timeout(10):
        await watching
    assert seen == [10, 5000]


async def test_a_status_shows_value_and_position_of_one_moment(pod: Pod, peer: Pod) -> None:
    await Board.numbers.using(peer).aappend_many([Add(1), Add(2)])
    status = await Board.numbers.using(pod).astatus()
    assert (status.position.offset, status.value, status.halted) == (2, [1, 2], None)
