"""A worker that dies with several records: nobody is blamed until one of them ran alone."""

from __future__ import annotations

import threading

import pytest
from django.db.models import F
from django.db.models.functions import Now

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import SHIP, position
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Retry
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import SUSPECT, Claim, HandlerId
from via_state.handlers import schedule
from via_state.models import DeadLetter, EventHandler, HandlerPosition, HandlerWorker

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
STOCK = HandlerId("shelf.{shelf}", "stock")


def die(shop: Shop, name: str, handler: HandlerId, *keys: str) -> None:
    """A worker announces a record on each of these keys, and is not heard of again."""
    store = RowPositions()
    row = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix, name=handler.name)
    store._ids[handler] = row.pk
    store.renew(name, "gone", 60)
    for key, claim in store.claim(handler, list(keys), name).items():
        assert isinstance(claim, Claim), key
        store.announce(claim, shop.head(key).position.offset)
    HandlerWorker.objects.using(POSTGRES_ALIAS).filter(pk=name).update(lease_until=Now())
    until(lambda: name not in store.renew("me", "gone", 0.5))


def rows(shop: Shop) -> list[HandlerPosition]:
    found = HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=shop.world.prefix)
    return list(found.order_by("key"))


def test_of_several_records_that_a_worker_died_with_each_runs_alone_and_none_is_blamed(durable_shop: Shop) -> None:
    shop, running, most = durable_shop, set[str](), dict[str, int]()
    attempts: list[int] = []
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=20)

    @shop.shelf().on_event("stock", retry=Retry(max_attempts=1))
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        with lock:
            running.add(delivery.key)
            attempts.append(delivery.attempt)
        if event.number == 2:
            both.wait()  # these two do run at once
        else:
            threading.Event().wait(0.1)  # so that it would meet others
        with lock:
            most[delivery.key] = max(most.get(delivery.key, 0), len(running))
            running.discard(delivery.key)

    shop.stop(shop.work())  # registers
    suspects = [f"shelf.{shelf}" for shelf in range(6)]
    for shelf in range(6):
        shop.place(1, shelf=shelf)
    for name in ("first", "second"):
        die(shop, name, STOCK, *suspects)
    store = RowPositions()
    store._ids[STOCK] = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix).pk
    store.renew("looks", "gone", 5)
    store.claim(STOCK, suspects, "looks")
    assert {(row.last_error, row.attempts, row.in_flight_offset) for row in rows(shop)} == {(SUSPECT, 0, 0)}
    store.leave("looks")
    worker = shop.work()
    shop.settle(worker)
    assert {key: most[key] for key in suspects} == dict.fromkeys(suspects, 1), "alone"
    assert {row.last_error for row in rows(shop)} == {""}
    for shelf in (7, 8):
        shop.place(2, shelf=shelf)
    until(lambda: "shelf.7" in most and "shelf.8" in most)
    assert set(attempts) == {1}
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).exists()


def test_one_that_hangs_alone_keeps_the_others_waiting_for_a_while_and_not_for_ever(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those that the worker died with, which can't be alone then, nor those that it had nothing to do with."""
    shop, had, release = durable_shop, set[str](), threading.Event()
    monkeypatch.setattr(schedule, "PATIENCE", 0.3)
    hangs = threading.Event()

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        if delivery.key == "shelf.0":
            hangs.set()
            release.wait(60)
        had.add(delivery.key)

    shop.stop(shop.work())  # registers
    for shelf in range(3):
        shop.place(1, shelf=shelf)
    die(shop, "first", STOCK, "shelf.0", "shelf.1", "shelf.2")
    worker = shop.work()
    try:
        until(hangs.is_set)
        shop.place(1, shelf=7)
        until(lambda: had == {"shelf.1", "shelf.2", "shelf.7"})
    finally:
        release.set()
    shop.settle(worker)
    assert "shelf.0" in had
    assert {row.last_error for row in rows(shop)} == {""}


def test_deaths_of_one_record_are_followed_by_pauses_that_double(durable_shop: Shop) -> None:
    shop = durable_shop

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None: ...

    shop.stop(shop.work())  # registers
    shop.place(1)
    pauses = []
    for number in range(4):
        die(shop, f"dead-{number}", SHIP, "orders")
        store = RowPositions()
        store._ids[SHIP] = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix).pk
        store.renew("looks", "gone", 30)
        store.claim(SHIP, ["orders"], "looks")
        found = HandlerPosition.objects.using(POSTGRES_ALIAS).annotate(left=F("next_attempt_at") - Now())
        pauses.append(found.get(handler__prefix=shop.world.prefix).left.total_seconds())
        assert position(shop).attempts == number + 1
        store.leave("looks")
    assert pauses[0] <= 0
    assert [round(one + 0.5) for one in pauses[1:]] == [1, 2, 4]
