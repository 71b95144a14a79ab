"""Thousands of keys at once: they hold up no other handler, nor the end of a worker, and are claimed together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery
from via_state.bookkeeping.database.positions import RowPositions
from via_state.handlers.schedule import AHEAD
from via_state.models import HandlerPosition

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
CROWD = 300


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
            assert self.open.wait(30)
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
    assert gate.entered.wait(15)
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
    assert gate.entered.wait(15)
    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(shop.stop, worker)
        until(lambda: worker.stopping)
        gate.open.set()
        stopped.result(15)
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
    assert gate.entered.wait(15)
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
        stopped.result(15)
    until(lambda: gate.shelves == ["shelf.1", "shelf.1"])
