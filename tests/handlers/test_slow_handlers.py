"""A slow handler: what it leaves to others, who helps them, and how it is seen."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.test_crowds import Gate
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Retry, telemetry
from via_state.exceptions import DeclarationError

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)


def sample(name: str) -> float:
    telemetry.flush()
    return REGISTRY.get_sample_value(name) or 0.0


def lag() -> float:
    return REGISTRY.get_sample_value("via_consumer_lag_events", {"key": "orders", "name": "ship"}) or 0.0


def test_a_handler_with_a_concurrency_of_its_own_leaves_threads_to_others(shop: Shop) -> None:
    gate = Gate(shop, concurrency=1)
    for shelf in range(6):
        shop.place(1, shelf=shelf)
    shop.work(concurrency=2)
    assert gate.entered.wait(60)
    shop.place(1, 2, 3)
    until(lambda: [number for number, _ in gate.orders] == [1, 2, 3])
    assert gate.shelves == []
    gate.open.set()
    until(lambda: len(gate.shelves) == 6)


def test_a_worker_for_one_handler_helps_where_the_others_threads_are_busy(durable_shop: Shop) -> None:
    shop, gate = durable_shop, Gate(durable_shop)
    shop.place(1)
    general = shop.work(concurrency=1)
    until(lambda: [number for number, _ in gate.orders] == [1])  # it holds the claim, idle
    shop.place(1, shelf=1)
    assert gate.entered.wait(60)
    shop.place(2)
    until(lambda: lag() == 1)
    shop.work("ship")
    until(lambda: [number for number, _ in gate.orders] == [1, 2])
    gate.open.set()
    until(lambda: gate.shelves == ["shelf.1"])
    shop.place(3, 4)
    until(lambda: len(gate.orders) == 4)
    shop.settle(general)
    assert [number for number, _ in gate.orders] == [1, 2, 3, 4]
    until(lambda: lag() == 0)


@pytest.mark.parametrize("before", [True, False], ids=["claimed", "never claimed"])
def test_a_handler_that_gets_no_thread_has_a_lag(shop: Shop, before: bool) -> None:
    gate = Gate(shop)
    threads, busy = sample("via_handler_threads"), sample("via_handler_threads_busy")
    if before:
        shop.place(1)
        worker = shop.work(concurrency=1)
        shop.settle(worker)
        shop.place(1, shelf=1)
    else:
        shop.place(1, shelf=1)
        shop.work(concurrency=1)
    assert gate.entered.wait(60)
    shop.place(2, 3)
    until(lambda: lag() >= 1)
    assert sample("via_handler_threads") == threads + 1
    until(lambda: sample("via_handler_threads_busy") == busy + 1)
    gate.open.set()
    until(lambda: [number for number, _ in gate.orders][-2:] == [2, 3])
    until(lambda: lag() == 0)
    until(lambda: sample("via_handler_threads_busy") == busy)
    for worker in list(shop._workers):
        shop.stop(worker)
    assert sample("via_handler_threads") == threads


def test_a_delivery_of_an_async_handler_ends_with_its_timeout(shop: Shop) -> None:
    ended, got = threading.Event(), list[int]()

    @shop.orders().on_event("ship", timeout=0.05, retry=Retry(base=0.01, max=0.02, max_attempts=2))
    async def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    until(lambda: got == [2])
    assert ended.is_set()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"concurrency": 0}, "concurrency= is 0"),
        ({"concurrency": True}, "concurrency= is True"),
        ({"concurrency": 1.5}, "concurrency= is 1.5"),
        ({"timeout": 0}, "timeout= is 0"),
        ({"timeout": "5"}, "timeout= is '5'"),
        ({"timeout": float("inf")}, "timeout= is inf"),
        ({"timeout": 5}, "timeout= is for async functions"),
    ],
)
def test_bounds_that_can_not_be_are_refused(shop: Shop, options: dict[str, Any], text: str) -> None:
    with pytest.raises(DeclarationError, match=text):

        @shop.orders().on_event("ship", **options)
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None: ...
