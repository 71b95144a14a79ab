"""A replay does what a worker does, and never beside one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import position
from tests.handlers.test_after_commit import write, written
from tests.handlers.test_commands import letters, run
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison
from via_state.bookkeeping.positions import HandlerId
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import ViaStateError
from via_state.models import DeadLetter, EventHandler, HandlerPosition, HandlerWorker
from via_state.operations.dead_letters import discard
from via_state.operations.replay import Replay, Replayed
from via_state.pod.default import use_pod


@pytest.fixture
def site(durable_shop: Shop) -> Iterator[Shop]:
    """The shop is the process's own."""
    with use_pod(durable_shop.pod):
        yield durable_shop


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread, with connections of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(connections.close_all).result()


class Gate:
    """A handler that gives up on the orders in ``bad``, and stops in the middle of those in ``slow``."""

    def __init__(self, shop: Shop, **options: Any) -> None:
        self.bad: set[int] = set()
        self.slow: set[int] = set()
        self.got: list[int] = []
        self.running: set[int] = set()
        self.most = 0
        self.entered, self.released = threading.Event(), threading.Event()

        @shop.orders().on_event("ship", **options)
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            self.running.add(event.number)
            self.most = max(self.most, len(self.running))
            try:
                if event.number in self.slow:
                    self.entered.set()
                    assert self.released.wait(60)
                if event.number in self.bad:
                    raise Poison(f"{event.number} is bad")
                self.got.append(event.number)
            finally:
                self.running.discard(event.number)


def given_up(shop: Shop, gate: Gate, *numbers: int) -> list[DeadLetter]:
    """Dead letters of these orders, and no worker any more."""
    gate.bad = set(numbers)
    worker = shop.work()
    shop.place(*numbers)
    until(lambda: len(letters(shop)) == len(numbers))
    shop.stop(worker)
    gate.bad = set()
    return letters(shop)


def replay(shop: Shop, letter: DeadLetter, patience: float = 10.0) -> Replayed:
    (log,) = [one for one in handled_logs() if one.spec.name == letter.template]
    with Replay("ann", patience) as one:
        return one.run(letter, log.handlers[letter.handler], log.spec)


def test_a_replay_beside_the_worker_loses_no_update_of_a_projection(site: Shop) -> None:
    """Each event adds one to a number that it reads before and writes after."""
    counter = HandlerWorker.objects.using(POSTGRES_ALIAS)
    counter.create(
        id="counter",
        prefix="elsewhere",
        worker_group="",
        host="",
        pid=0,
        started_at="2026-01-01T00:00Z",
        lease_until="2026-01-01T00:00Z",
    )
    bad = [True]

    @site.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number < 50 and bad:
            raise Poison("not yet")
        seen = counter.get(id="counter").pid
        counter.filter(id="nobody").update(pid=0)  # a moment in which somebody else could read the same
        counter.filter(id="counter").update(pid=seen + 1)

    worker = site.work()
    site.log().append_many([Placed(number) for number in range(50)], wait=False)
    until(lambda: len(letters(site)) == 50)
    bad.clear()
    site.log().append_many([Placed(number) for number in range(50, 250)], wait=False)
    assert "50 of 50 dead letters replayed, 0 failed" in run("replay_dead_letters")
    wait_until(lambda: position(site).offset == 250, "the deliveries", timeout=60)
    site.settle(worker)
    assert counter.get(id="counter").pid == 250


def test_a_replay_waits_for_the_event_that_a_worker_handles_and_goes_before_the_next_one(
    site: Shop, elsewhere: ThreadPoolExecutor
) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    gate.slow = {2}
    worker = site.work()
    site.place(2, 3, 4)
    assert gate.entered.wait(60)
    replaying = elsewhere.submit(replay, site, letter)
    until(lambda: position(site).wanted_by != "", "the asking")
    assert not replaying.done()
    gate.released.set()
    assert replaying.result(60) == Replayed(True)
    until(lambda: gate.got == [2, 1, 3, 4])
    assert gate.most == 1
    site.settle(worker)
    assert position(site).wanted_by == ""


def test_a_replay_that_waits_in_vain_says_which_worker_is_at_it(site: Shop, elsewhere: ThreadPoolExecutor) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    gate.slow = {2}
    site.work()
    site.place(2)
    assert gate.entered.wait(60)
    outcome = elsewhere.submit(replay, site, letter, 0.05).result(60)
    worker = HandlerWorker.objects.using(POSTGRES_ALIAS).get(prefix=site.world.prefix)
    assert str(worker) in outcome.error
    assert (outcome.done, outcome.tried) == (False, False)
    assert [one.attempts for one in letters(site)] == [1]
    gate.released.set()
    until(lambda: gate.got == [2])
    assert position(site).wanted_by == ""


def test_a_worker_begins_no_event_while_a_replay_runs(site: Shop, elsewhere: ThreadPoolExecutor) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    worker = site.work()
    site.settle(worker)
    gate.slow = {1}
    replaying = elsewhere.submit(replay, site, letter)
    assert gate.entered.wait(60)
    site.place(2)
    sweeps = site.world.plane.calls["changed"]
    until(lambda: site.world.plane.calls["changed"] > sweeps + 3, "a few looks of the worker")
    assert gate.got == []
    gate.released.set()
    assert replaying.result(60).done
    until(lambda: gate.got == [1, 2])
    assert gate.most == 1


def test_two_replays_run_one_after_the_other(site: Shop, elsewhere: ThreadPoolExecutor) -> None:
    gate = Gate(site)
    first, second = given_up(site, gate, 1, 2)
    gate.slow = {1}
    replaying = elsewhere.submit(replay, site, first)
    assert gate.entered.wait(60)
    assert "was not done within 0.05 s" in replay(site, second, 0.05).error
    assert "was not done within 0.05 s" in replay(site, first, 0.05).error
    gate.released.set()
    assert replaying.result(60).done
    assert replay(site, first) == Replayed(False, tried=False), "it is resolved"
    assert replay(site, second).done
    assert gate.got == [1, 2]


def test_a_replay_that_dies_gives_its_position_back_with_its_lease(site: Shop) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    dead = Replay("ann")
    dead.__enter__()
    dead.position(HandlerId(letter.template, letter.handler), letter.key)
    dead._over.set()  # its lease is no longer renewed
    site.work()
    site.place(2)
    until(lambda: gate.got == [2])
    assert position(site).attempts == 0, "the replay's death is not a failure of the next event"


def test_a_replay_whose_lease_is_over_commits_nothing(site: Shop) -> None:
    gate = Gate(site, atomic=True)
    (letter,) = given_up(site, gate, 1)
    site.orders().definition.handlers.clear()

    @site.orders().on_event("ship", atomic=True)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        write(1001)
        rows = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(key="orders")
        rows.filter(handler__prefix=site.world.prefix).update(fence=F("fence") + 1)

    outcome = replay(site, letter)
    assert "lost its lease" in outcome.error
    assert written() == []
    assert [one.status for one in letters(site)] == ["new"]


def test_a_handler_that_is_not_atomic_is_replayed_outside_of_a_transaction(site: Shop) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    site.orders().definition.handlers.clear()
    told: list[str] = []

    @site.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        with transaction.atomic(using=POSTGRES_ALIAS, durable=True):
            write(1001)
            transaction.on_commit(lambda: told.append("committed"), using=POSTGRES_ALIAS)
        assert told == ["committed"]
        raise RuntimeError("after that")

    outcome = replay(site, letter)
    assert outcome.error == "RuntimeError: after that"
    assert written() == [1001], "what it committed stays, as with a worker"
    assert [(one.status, one.attempts, one.error) for one in letters(site)] == [("new", 2, outcome.error)]


def test_what_an_atomic_handler_writes_in_a_failing_replay_is_undone(site: Shop) -> None:
    gate = Gate(site, atomic=True)
    (letter,) = given_up(site, gate, 1)
    site.orders().definition.handlers.clear()

    @site.orders().on_event("ship", atomic=True)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        write(1001)
        if delivery.attempt < 3:
            raise RuntimeError("after that")
        if delivery.attempt == 3:
            discard(letter, "bob")

    assert replay(site, letter).error == "RuntimeError: after that"
    assert written() == []
    assert replay(site, letter).error == "Somebody resolved it while its handler ran."
    assert written() == []
    assert [one.attempts for one in letters(site)] == [3]


def test_a_halted_handler_s_letters_can_be_replayed(site: Shop) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    site.world.run(site.world.inner.drop("orders"))
    site.place(5)
    site.work()
    until(lambda: position(site).halted == "history")
    assert replay(site, letter).done
    assert gate.got == [1]
    assert position(site).halted == "history"


def test_a_replay_inside_of_a_transaction_is_refused(site: Shop) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    with (
        transaction.atomic(using=POSTGRES_ALIAS),
        pytest.raises(ViaStateError, match="Replay outside of it"),
    ):
        replay(site, letter)
    assert gate.got == []


def test_a_handler_that_no_worker_has_registered_is_not_replayed(site: Shop) -> None:
    gate = Gate(site)
    (letter,) = given_up(site, gate, 1)
    EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix).delete()
    assert "is not registered" in replay(site, letter).error
    assert gate.got == []
