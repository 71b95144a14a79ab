"""A record is given up by the time since its first failure, which is the database's; asking for time is not a failure."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.db.models import F

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import position
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Retry, RetryAfter
from via_state.admin.handlers import HandlerAdmin
from via_state.models import DeadLetter, EventHandler, HandlerPosition

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)


def earlier(**columns: timedelta) -> None:
    """Let the database think that something happened earlier."""
    moved = {name: F(name) - by for name, by in columns.items()}
    HandlerPosition.objects.using(POSTGRES_ALIAS).update(**moved)


def letters(shop: Shop) -> list[DeadLetter]:
    return list(DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).order_by("pk"))


def test_a_record_is_given_up_by_its_time_and_the_next_one_delivered(shop: Shop) -> None:
    got: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.02, give_up_after=0.1))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)
        if event.number == 1:
            raise RuntimeError("no stamps")

    shop.work()
    shop.place(1, 2)
    until(lambda: 2 in got)
    assert got.count(1) >= 2
    assert got.count(2) == 1


def test_the_time_continues_while_no_worker_runs(durable_shop: Shop) -> None:
    shop, got = durable_shop, list[int]()

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.05, give_up_after=3600))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery.attempt)
        raise RuntimeError("no stamps")

    worker = shop.work()
    shop.place(1)
    until(lambda: position(shop).attempts > 8)
    assert letters(shop) == []
    shop.stop(worker)
    first = position(shop).stuck_since
    tried = position(shop).attempts
    earlier(stuck_since=timedelta(hours=1))
    shop.work()
    until(lambda: letters(shop) != [])
    (letter,) = letters(shop)
    assert first is not None
    assert letter.first_failed_at == first - timedelta(hours=1)
    assert letter.attempts == got[-1] == tried + 1


def test_what_asks_for_time_waits_as_often_as_it_asks(durable_shop: Shop) -> None:
    shop, got = durable_shop, list[int]()

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.02, give_up_after=3600, max_attempts=2))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery.attempt)
        if len(got) < 6:
            raise RetryAfter(0.01)
        if len(got) < 7:
            earlier(stuck_since=timedelta(hours=2))  # it has waited for long
            raise RuntimeError("no stamps")

    worker = shop.work()
    shop.place(1)
    shop.settle(worker)
    until(lambda: position(shop).offset > 0)
    assert got == [1] * 6 + [2], "the first failure was the sixth time"
    assert letters(shop) == []


def test_time_that_counts_is_an_attempt(shop: Shop) -> None:
    got: list[tuple[int, int]] = []

    @shop.orders().on_event("ship", retry=Retry(max_attempts=3))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append((event.number, delivery.attempt))
        if event.number == 1:
            raise RetryAfter(0.01, counts=True)

    shop.work()
    shop.place(1, 2)
    until(lambda: (2, 1) in got)
    assert got == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_the_row_of_a_handler_says_when_it_gives_up(durable_shop: Shop) -> None:
    @durable_shop.orders().on_event("ship", retry=Retry(give_up_after=90))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None: ...

    durable_shop.work()
    row = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=durable_shop.world.prefix)
    assert (row.give_up_after, row.max_attempts) == (90, None)
    assert HandlerAdmin(EventHandler, site).limit(row) == "90 s"
