"""The few connections of a process: who gets the next one, and for how long anybody waits."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import pytest
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod.board import Add, Board
from via_state.backplanes.postgres import PostgresBackplane
from via_state.backplanes.postgres.slots import READ_EACH, Slots
from via_state.exceptions import BackplaneUnavailable, Closed
from via_state.pod.pod import Pod
from via_state.runtime.patience import seconds_to_send, send_by


async def take(slots: Slots, done: list[str], what: str) -> None:
    await slots.take(write=what == "write")
    done.append(what)
    slots.give()


async def test_writes_go_before_reads_and_no_read_waits_for_ever() -> None:
    slots, done = Slots(1), list[str]()
    await slots.take(write=False)
    waiting = [asyncio.ensure_future(take(slots, done, what)) for what in ["read"] * 5 + ["write"] * 12]
    await asyncio.sleep(0)
    slots.give()
    await asyncio.gather(*waiting)
    each = ["write"] * (READ_EACH - 1) + ["read"]
    assert done == [*each * 4, "read"]
    await asyncio.wait_for(slots.take(write=False), 1)  # the slot is free again


async def test_who_gave_up_waiting_leaves_the_slot_to_the_next() -> None:
    slots, done = Slots(1), list[str]()
    await slots.take(write=True)
    with pytest.raises(TimeoutError):
        await slots.take(write=True, seconds=0.0)
    cancelled = asyncio.ensure_future(slots.take(write=True))
    waiting = asyncio.ensure_future(take(slots, done, "read"))
    await asyncio.sleep(0)
    slots.give()  # to the first, which is cancelled in the same moment
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await waiting
    assert done == ["read"]


async def test_whoever_waits_when_it_ends_is_told() -> None:
    slots = Slots(1)
    await slots.take(write=True)
    waiting = [asyncio.ensure_future(slots.take(write=write)) for write in (True, False)]
    await asyncio.sleep(0)
    slots.end(lambda: Closed("over"))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [Closed, Closed]
    assert errors[0] is not errors[1]


def test_the_nearest_end_of_patience_counts() -> None:
    assert seconds_to_send(3.0) == 3.0
    with send_by(time.monotonic() + 100):
        assert 50 < seconds_to_send() <= 100
        with send_by(time.monotonic() + 1000):
            assert seconds_to_send() <= 100
        with send_by(time.monotonic() - 1):
            assert seconds_to_send() == 0
    assert seconds_to_send(3.0) == 3.0


@pytest.fixture
def narrow(postgres: object, transactional_db: object) -> PostgresBackplane:
    """One connection."""
    options = {"DATABASE": POSTGRES_ALIAS, "PREFIX": uuid.uuid4().hex, "POOL_SIZE": 1, "TIMEOUT": 60.0}
    return PostgresBackplane(options)


@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
async def test_nobody_waits_for_a_connection_longer_than_for_the_write(narrow: PostgresBackplane) -> None:
    pod = Pod(narrow)
    taken, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def keep() -> None:
        free = asyncio.Event()
        pod_loop = asyncio.get_running_loop()
        released.append(lambda: pod_loop.call_soon_threadsafe(free.set))
        async with narrow._connections.use(write=False):
            loop.call_soon_threadsafe(taken.set)
            await free.wait()
        loop.call_soon_threadsafe(over.set)

    released: list[Callable[[], object]] = []
    try:
        pod.thread.submit(keep())
        await asyncio.wait_for(taken.wait(), 20)
        with override_settings(VIA_STATE={"APPEND_TIMEOUT": 0.2, "UPDATE_TIMEOUT": 0.2, "READ_TIMEOUT": 0.2}):
            async with asyncio.timeout(20):  # an append waited for as long as somebody kept the connection
                with pytest.raises(BackplaneUnavailable, match=r"became free within 0\.\d s\. Nothing was sent"):
                    await Board.numbers.using(pod).aappend(Add(1))
                with pytest.raises(BackplaneUnavailable, match="became free"):
                    await Board.hits.using(pod).aset(1)
                with pytest.raises(BackplaneUnavailable, match="became free"):
                    await Board.hits.using(pod).aread()
        for release in released:
            release()
        await asyncio.wait_for(over.wait(), 20)
        await Board.numbers.using(pod).aappend(Add(2))
        assert await Board.numbers.using(pod).aread() == [2]
    finally:
        await pod.aclose()
