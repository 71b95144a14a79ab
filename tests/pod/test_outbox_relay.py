"""The relay of the outbox: what it does to the database, to a backplane that is away, and to other relays."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from testproject.servers.nats import Nats
from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.board import Add, Board
from tests.pod.relay import (
    KEY,
    LEASE,
    left_by_a_killed_process,
    limit,
    numbers_in,
    records,
    relaying,
    rooms,
    waiting,
)
from tests.pod.world import World, world_of
from via_state.bookkeeping.database import outbox as rows
from via_state.bookkeeping.database import outbox_lanes as lanes
from via_state.bookkeeping.database.outbox import Claim
from via_state.bookkeeping.database.outbox_lanes import LANES, lane_of
from via_state.core.records import GENESIS
from via_state.exceptions import BackplaneUnavailable, ViaStateError
from via_state.models import OutboxLane, OutboxRecord
from via_state.pod.pod import Pod
from via_state.pod.writing.outbox import outbox

pytestmark = [
    pytest.mark.usefixtures("postgres", "nats"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


@pytest.fixture(params=["postgres", "nats"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with relaying(request.param) as world:
        yield world


@pytest.fixture
def on_nats() -> Iterator[World]:
    with relaying("nats") as world:
        yield world


def write(pod: Pod, *numbers: int) -> None:
    """Append with a transaction that commits."""
    with transaction.atomic(using=POSTGRES_ALIAS):
        for number in numbers:
            Board.numbers.using(pod).append_on_commit(Add(number))


def test_records_of_one_key_travel_together_and_in_order(world: World) -> None:
    left_by_a_killed_process(world, *range(1200))
    pod = world.start()
    pod.drain()
    assert numbers_in(world) == list(range(1200))
    assert world.plane.calls["append"] < 10
    assert records(world) == []


def test_relays_share_a_few_sessions_of_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "IDLE", 1000.0)  # however slow the machine is
    opened: list[str] = []

    def count(connection: Any, **_: Any) -> None:
        if (name := threading.current_thread().name).startswith("via-state-outbox"):
            opened.append(name)

    connection_created.connect(count)
    try:
        pod = world.start()
        for number in range(20):
            write(pod, number)
            wait_until(lambda: waiting(world) == 0, "the relay")
    finally:
        connection_created.disconnect(count)
    assert 0 < len(opened) <= outbox.THREADS


def test_an_append_whose_answer_was_lost_is_found_in_the_log_and_not_sent_again(world: World) -> None:
    first = world.start()
    world.plane.fail("append", Fault.LOST_ANSWER)
    write(first, 1, 2)
    wait_until(lambda: waiting(world) == 0, "the relay")
    world.run(world.inner.append(KEY, uuid.uuid4().hex, 1, b'[["Add",1,{"number":3}]]'))
    assert numbers_in(world) == [1, 2, 3]
    assert world.plane.calls["append"] == 1, "the id was looked for, however long the backplane remembers it"


def test_what_was_appended_and_not_removed_is_found_by_another_pod(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, remove = world.start(), rows.remove

    def die(*_: Any) -> None:
        raise BackplaneUnavailable("killed before the rows were removed")

    monkeypatch.setattr(rows, "remove", die)
    write(first, 1, 2)
    wait_until(lambda: world.plane.calls.get("append", 0) == 1, "the append")
    world.kill(first)
    monkeypatch.setattr(rows, "remove", remove)
    claimed, other_row = records(world)
    assert claimed.batch is not None
    assert claimed.members == f"{claimed.pk},{other_row.pk}"
    left_by_a_killed_process(world, 3)
    other = world.start()
    other.drain()
    assert numbers_in(world) == [1, 2, 3]
    assert world.plane.calls["append"] == 2


def test_what_was_claimed_and_not_appended_keeps_its_id_and_its_place(world: World) -> None:
    first = world.start()
    world.plane.fail("append", Fault.LOST_REQUEST)
    write(first, 1, 2)
    wait_until(lambda: waiting(world) == 0, "the relay")
    assert numbers_in(world) == [1, 2]
    (pack,) = world.run(world.inner.read(KEY, GENESIS)).packs
    assert pack.count == 2


def test_a_claim_that_came_too_late_keeps_nothing_from_being_relayed(world: World) -> None:
    """A relay that was frozen claims rows of which another has relayed some meanwhile."""
    left_by_a_killed_process(world, 1, 2, 3)
    first, second, third = [one.pk for one in records(world)]
    batch = uuid.uuid4()
    rows.claim([Claim(batch, [first, second, third], GENESIS)])
    OutboxRecord.objects.using(POSTGRES_ALIAS).filter(pk=second).delete()
    late = Claim(uuid.uuid4(), [first, third], GENESIS)
    rows.claim([late])
    assert rows.claimed([(late.batch, late.ids)]) == [], "it is claimed"
    assert records(world)[0].batch == batch
    pod = world.start()
    pod.drain()
    assert numbers_in(world) == [1, 3]
    assert records(world) == []


class Freezer:
    """Stops the relays' statements at one of them, as a SIGSTOP would; ``call`` says before or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
        self.reached, self.released = threading.Event(), threading.Event()
        self._once = threading.Lock()
        renew = lanes.renew

        def frozen(lane: int, owner: str) -> bool:
            first = self._once.acquire(blocking=False)
            if first and not after:
                self._wait()
            held = renew(lane, owner)
            if first and after:
                self._wait()
            return held

        monkeypatch.setattr(lanes, "renew", frozen)

    def _wait(self) -> None:
        self.reached.set()
        assert self.released.wait(60)


@pytest.mark.parametrize("after", [False, True], ids=["before the renewal", "after the renewal"])
def test_a_pod_that_wakes_without_its_lease_appends_nothing(
    on_nats: World, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    world = on_nats
    freezer = Freezer(monkeypatch, after=after)
    frozen = world.start()
    write(frozen, 1, 2)
    assert freezer.reached.wait(60)
    write(frozen, 3)
    other = world.start()
    other.drain()  # when the lease has ended
    assert numbers_in(world) == [1, 2, 3]
    appends = world.plane.calls["append"]
    freezer.released.set()
    relays: Any = frozen.outbox
    wait_until(lambda: relays._lanes[lane_of(KEY)].flight.task is None, "the frozen relay")
    assert world.plane.calls["append"] == appends
    assert numbers_in(world) == [1, 2, 3]


def transactions() -> set[Any]:
    """The transactions of other connections than the one that asks, by connection and beginning; all that locks is one."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT pid, xact_start, query FROM pg_stat_activity WHERE datname = current_database() "
            "AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        )
        return set(cursor.fetchall())


def no_transaction_stays() -> None:
    """What is open now is a statement under way: it ends by itself, while the backplane is still frozen."""
    found = transactions()
    wait_until(lambda: not found & transactions(), f"the end of {found}", timeout=2)


def test_nothing_is_locked_while_the_backplane_is_frozen(on_nats: World, nats: Nats) -> None:
    world = on_nats
    pod = world.start()
    write(pod, 1)
    pod.drain()
    nats.process.signal(signal.SIGSTOP)
    try:
        write(pod, *range(2, 100))
        other = world.start()
        for asked in range(1, 4):  # in the middle of calls that get no answer, of two pods
            called = world.plane.calls["head"]
            wait_until(lambda called=called: world.plane.calls["head"] > called, "a call")  # type: ignore[misc]
            no_transaction_stays()
            write(pod, 99 + asked)
    finally:
        nats.process.signal(signal.SIGCONT)
    other.drain()
    assert numbers_in(world) == list(range(1, 103))


def test_a_frozen_pod_is_relieved_of_its_lanes(world: World) -> None:
    for lane in range(LANES):
        OutboxLane.objects.using(POSTGRES_ALIAS).filter(prefix=world.prefix, lane=lane).delete()
        assert lanes.acquire(lane, f"frozen-{lane}", "")
    pod = world.start()
    write(pod, 1)
    assert waiting(world) == 1
    pod.drain()
    assert numbers_in(world) == [1]
    assert not lanes.renew(lane_of(KEY), f"frozen-{lane_of(KEY)}"), "whoever wakes up finds out"


def test_another_projects_lanes_are_its_own(world: World) -> None:
    for lane in range(LANES):
        OutboxLane.objects.using(POSTGRES_ALIAS).create(
            prefix="another", lane=lane, lease_owner="frozen", lease_until="2999-01-01T00:00:00Z"
        )
    pod = world.start()
    write(pod, 1)
    pod.drain()
    assert numbers_in(world) == [1]


def test_records_are_relayed_from_the_start_of_a_pod_that_nobody_asks_for_anything(world: World) -> None:
    left_by_a_killed_process(world, 1, 2)
    world.start()
    wait_until(lambda: records(world) == [], "the first look")
    assert numbers_in(world) == [1, 2]


def test_a_key_that_can_not_be_appended_to_now_holds_up_no_other(postgres: object) -> None:
    """Somebody keeps a lock on its log."""
    (room,) = rooms(1)
    with world_of("postgres", OUTBOX_INTERVAL=0.1, OUTBOX_LEASE=LEASE) as world:
        pod = world.start()
        write(pod, 0)
        pod.drain()
        with transaction.atomic(using=POSTGRES_ALIAS), connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM via_state_log WHERE prefix = %s AND key = %s FOR UPDATE", [world.prefix, KEY]
            )

            def leave() -> None:
                left_by_a_killed_process(world, 1, 2)
                left_by_a_killed_process(world, 3, key=room)
                connections[POSTGRES_ALIAS].close()

            in_a_thread(leave)
            wait_until(lambda: numbers_in(world, room) == [3], "the other key")
            assert numbers_in(world) == [0]
        wait_until(lambda: numbers_in(world) == [0, 1, 2], "the key that was locked")


def in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_what_is_too_large_is_set_aside_and_the_others_continue(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit of a server that nobody had asked yet, when the record was written."""
    left_by_a_killed_process(world, 1)
    rows.add(KEY, 1, b'[["Add",1,{"number":2,"padding":"' + b"x" * 5000 + b'"}]]')
    left_by_a_killed_process(world, 3)
    if world.kind == "nats":
        world.run(limit(world))
    else:
        world.inner.max_append_bytes = 4000
    pod = world.start()
    with caplog.at_level(logging.ERROR, "via_state.outbox"):
        pod.drain()
    assert numbers_in(world) == [1, 3]
    (aside,) = records(world)
    assert aside.status == OutboxRecord.Status.ASIDE
    assert "AppendTooLarge" in aside.error
    assert aside.set_aside_at is not None
    assert aside.batch is None
    assert KEY in caplog.text
    assert pod.thread.call(pod.outbox.backlog()).aside == 1


def test_an_outage_is_told_once_and_so_is_its_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pod = world.start()
    pod.drain()
    with caplog.at_level(logging.INFO, "via_state.outbox"):
        world.plane.down = True
        for number in range(5):
            Board.room.using(pod).at(room=number).append_on_commit(Add(number))
        calls = world.plane.calls.get("head", 0)
        wait_until(lambda: world.plane.calls.get("head", 0) > calls + 10, "several attempts")
        world.plane.down = False
        wait_until(lambda: records(world) == [], "the relay")
        wait_until(lambda: "works again" in caplog.text, "the line")
    of_ours = [one for one in caplog.records if one.name == "via_state.outbox"]
    assert [one.levelno for one in of_ours] == [logging.WARNING, logging.INFO]


def test_a_relay_and_a_flush_do_not_wait_for_each_other(world: World) -> None:
    """What a TransactionTestCase does at its end, while the records of the test are relayed."""
    pod = world.start()
    before = deadlocks()
    for number in range(8):
        write(pod, *range(number * 10, number * 10 + 10))
        call_command("flush", database=POSTGRES_ALIAS, interactive=False, inhibit_post_migrate=True, verbosity=0)
    with contextlib.suppress(ViaStateError):
        pod.drain()
    assert deadlocks() == before


def deadlocks() -> int:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        (count,) = cursor.fetchone()
    return int(count)
