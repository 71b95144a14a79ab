"""Thousands of keys at once: they hold up no other handler, nor the end of a worker, and are claimed together."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import Claim, HandlerId
from via_state.core.records import GENESIS, Batch, Position
from via_state.exceptions import Fenced
from via_state.handlers.claims import Reads
from via_state.handlers.schedule import AHEAD
from via_state.models import HandlerPosition

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
CROWD = 300
STOCK = HandlerId("shelf.{shelf}", "stock")


class Gate:
    """A handler of the shelves that waits, and one of the orders that does not."""

    def __init__(self, shop: Shop, **options: Any) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.shelves: list[str] = []
        self.orders: list[tuple[int, int]] = []

        @shop.shelf().on_event("stock", **options)
        def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
            self.entered.set()
            assert self.open.wait(60)
            self.shelves.append(delivery.key)

        @shop.orders().on_event("ship")
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            self.orders.append((event.number, len(self.shelves)))


def fill(shop: Shop, number: int = 1) -> None:
    """An event on each of many shelves."""

    async def append() -> None:
        log = shop.shelf().using(shop.pod)
        for shelf in range(CROWD):
            await log.at(shelf=shelf).aappend(Placed(number), wait=False)

    shop.world.run(append())


def claimed(shop: Shop, name: str) -> int:
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS).exclude(worker="")
    return rows.filter(handler__prefix=shop.world.prefix, handler__name=name).count()


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_another_handler_does_not_wait_for_a_crowd(shop: Shop, known: bool) -> None:
    gate = Gate(shop)
    if known:
        gate.open.set()
        fill(shop)
        worker = shop.work()
        until(lambda: len(gate.shelves) == CROWD)
        shop.stop(worker)
        gate.shelves.clear()
        gate.open.clear()
        gate.entered.clear()
    fill(shop, 2)
    worker = shop.work(concurrency=2)
    assert gate.entered.wait(60)
    shop.place(7)
    until(lambda: any(key == "orders" and runner.claim for (_, key), runner in worker._runners.items()))
    gate.open.set()
    until(lambda: gate.orders != [])
    assert gate.orders[0][1] <= AHEAD
    until(lambda: len(gate.shelves) == CROWD)
    assert len(set(gate.shelves)) == CROWD


def test_what_waits_in_line_does_not_hold_up_the_end(durable_shop: Shop) -> None:
    shop, gate = durable_shop, Gate(durable_shop)
    fill(shop)
    worker = shop.work(concurrency=2)
    assert gate.entered.wait(60)
    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(shop.stop, worker)
        until(lambda: worker.stopping)
        gate.open.set()
        stopped.result(60)
    assert len(gate.shelves) <= 2
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=shop.world.prefix)
    assert rows.count() <= 2 * (2 + AHEAD), "the others were not claimed"
    assert rows.exclude(worker="").count() == 0


def test_a_crowd_is_claimed_together(durable_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, gate, calls = durable_shop, Gate(durable_shop), list[int]()
    whole = RowPositions.claim

    def claim(self: RowPositions, handler: object, keys: list[str], *more: Any) -> object:
        calls.append(len(keys))
        return whole(self, handler, keys, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(RowPositions, "claim", claim)
    gate.open.set()
    fill(shop)
    shop.work()
    until(lambda: len(gate.shelves) == CROWD)
    assert max(calls) > 8
    assert len(calls) < CROWD / 2


def test_a_worker_that_ends_leaves_the_others_what_it_does_not_run(durable_shop: Shop) -> None:
    shop, gate = durable_shop, Gate(durable_shop)
    shop.place(1)
    ending = shop.work()
    until(lambda: [number for number, _ in gate.orders] == [1])
    shop.place(1, shelf=1)
    assert gate.entered.wait(60)
    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(shop.stop, ending)
        until(lambda: claimed(shop, "ship") == 0)
        staying = shop.work()
        shop.place(2)
        until(lambda: [number for number, _ in gate.orders] == [1, 2])
        assert staying.alive == [staying.id], "the one that ends is of no group any more"
        assert gate.shelves == []
        assert not stopped.done()
        shop.place(2, shelf=1)
        gate.open.set()
        stopped.result(60)
    until(lambda: gate.shelves == ["shelf.1", "shelf.1"])


def test_what_stores_one_key_announces_the_next(durable_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit for each key, and not two."""
    shop, gate, writes = durable_shop, Gate(durable_shop), collections.Counter[str]()

    def count(name: str, whole: Any) -> None:
        def counted(*args: Any) -> None:
            writes[name] += 1
            whole(*args)

        monkeypatch.setattr(RowPositions, name, counted)

    for name in ("announce", "advance", "hand_on"):
        count(name, getattr(RowPositions, name))
    fill(shop)
    worker = shop.work(concurrency=1)
    assert gate.entered.wait(60)
    until(lambda: len(worker.schedule._lanes[STOCK].waiting) >= AHEAD // 2)
    gate.open.set()
    until(lambda: len(gate.shelves) == CROWD)
    shop.settle(worker)
    assert writes.total() < CROWD * 1.5
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=shop.world.prefix)
    assert set(rows.values_list("offset", "in_flight_offset")) == {(1, 0)}


def test_one_log_that_can_not_be_read_does_not_hold_up_those_that_are_read_with_it(durable_shop: Shop) -> None:
    shop, gate = durable_shop, Gate(durable_shop)
    gate.open.set()
    fill(shop)
    shop.world.plane.fail("read_many", *[Fault.BEFORE] * 3)
    shop.work()
    until(lambda: len(gate.shelves) == CROWD)
    assert len(set(gate.shelves)) == CROWD
    assert shop.world.plane.calls["read_many"] < CROWD / 2
    # What the question for many left to each alone.
    assert shop.world.plane.calls["read"] < CROWD * 2


def test_two_handlers_that_read_a_log_at_once_each_read_after_their_own_position(durable_shop: Shop) -> None:
    shop = durable_shop
    shop.place(1, 2, 3)
    shop.place(1, shelf=1)
    plane, head = shop.world.plane, shop.head("orders").position
    second = Position(head.epoch, 2, shop.world.run(plane.read("orders", GENESIS)).packs[1].record_id(2))
    wanted = [("orders", GENESIS), ("shelf.1", GENESIS), ("orders", second), ("orders", GENESIS)]

    async def read(reads: Reads) -> list[Batch]:
        return await asyncio.gather(*(reads.take(key, after, 10) for key, after in wanted))

    found = shop.world.run(read(Reads(plane)))
    assert found == [shop.world.run(plane.read(key, after, 10)) for key, after in wanted]
    assert [batch.proves(after) for batch, (_, after) in zip(found, wanted, strict=True)][2]


@pytest.mark.parametrize("lost", ["one", "other", "wanted"])
def test_of_two_that_are_stored_together_one_may_be_lost(durable_shop: Shop, lost: str) -> None:
    shop = durable_shop
    Gate(shop)
    shop.stop(shop.work())  # registers
    store = RowPositions()
    assert store.find(STOCK)
    store.renew("me", "worker_group", 30.0)
    found = store.claim(STOCK, ["shelf.1", "shelf.2"], "me")
    one, other = found["shelf.1"], found["shelf.2"]
    assert isinstance(one, Claim)
    assert isinstance(other, Claim)
    store.announce(one, 1)
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS)
    if lost == "one":
        rows.filter(pk=one.id).update(fence=one.fence + 1)
    elif lost == "other":
        rows.filter(pk=other.id).update(fence=other.fence + 1)
    else:
        store.renew("somebody", "worker_group", 30.0)
        store.ask(STOCK, "shelf.2", "somebody")
    with pytest.raises(Fenced) if lost == "one" else contextlib.nullcontext():
        store.hand_on(one, Position("e", 1, "r"), other, 5)
    assert rows.get(pk=one.id).offset == (0 if lost == "one" else 1)
    assert other.in_flight_offset == 0, "it announces itself"
    if lost != "one":
        assert one.position == Position("e", 1, "r")
        assert rows.get(pk=other.id).in_flight_offset == 0


def test_two_keys_are_stored_together(durable_shop: Shop) -> None:
    shop = durable_shop
    Gate(shop)
    shop.stop(shop.work())
    store = RowPositions()
    assert store.find(STOCK)
    store.renew("me", "worker_group", 30.0)
    one, other = (store.claim(STOCK, [key], "me")[key] for key in ("shelf.1", "shelf.2"))
    assert isinstance(one, Claim)
    assert isinstance(other, Claim)
    store.announce(one, 1)
    store.fail(one, 2, "no", 1.0, "lines")
    store.fail(other, 3, "other", 1.0, "others")
    store.hand_on(one, Position("e", 7, "r-1"), other, 5)
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS)
    columns = ("epoch", "offset", "record_id", "in_flight_offset", "attempts", "last_error", "last_traceback")
    assert rows.values_list(*columns).get(pk=one.id) == ("e", 7, "r-1", 0, 0, "", "")
    assert rows.values_list(*columns).get(pk=other.id) == ("", 0, "", 5, 3, "other", "others")
    assert (one.position, one.attempts, other.in_flight_offset) == (Position("e", 7, "r-1"), 0, 5)
