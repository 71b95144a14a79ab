"""Atomic handlers: what they write and their position are one."""

from __future__ import annotations

import contextlib

from django.db import connections

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import metric, position
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Retry
from via_state.models import DeadLetter


def test_an_atomic_handler_and_its_position_are_written_together_or_not_at_all(durable_shop: Shop) -> None:
    shop = durable_shop
    failures = [True]

    def write(number: int) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute(
                "INSERT INTO via_state_outboxlane (prefix, lane, lease_owner) VALUES ('written', %s, '')",
                [1000 + number],
            )

    @shop.orders().on_event("ship", atomic=True)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        write(event.number)
        if event.number == 2 and failures:
            failures.pop()
            raise RuntimeError("after the write")

    worker = shop.work()
    shop.place(1, 2, 3)
    until(lambda: position(shop).offset == 3)
    shop.settle(worker)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT lane FROM via_state_outboxlane WHERE lane > 1000 ORDER BY lane")
        assert [lane for (lane,) in cursor.fetchall()] == [1001, 1002, 1003]


def test_an_atomic_handler_that_passes_over_a_database_error_has_failed(durable_shop: Shop) -> None:
    shop = durable_shop
    careless = [True]

    @shop.orders().on_event("ship", atomic=True, retry=Retry(base=0.01, max=0.02))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if careless:
            with contextlib.suppress(Exception), connections[POSTGRES_ALIAS].cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")

    shop.work()
    shop.place(1)
    until(lambda: metric("via_consumer_stuck") >= 3)
    assert "transaction.atomic()" in position(shop).last_error
    careless.clear()
    until(lambda: position(shop).offset == 1)


def test_an_atomic_handler_that_closes_its_connection_has_failed(durable_shop: Shop) -> None:
    """It was taken for a database that is away, and tried again for ever, uncounted."""
    shop = durable_shop

    @shop.orders().on_event("ship", atomic=True, retry=Retry(base=0.01, max_attempts=2))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            connections.close_all()

    shop.work()
    shop.place(1, 2)
    until(lambda: position(shop).offset == 2)
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert "closed the connection" in letter.error


def test_an_async_atomic_handler_writes_in_the_same_transaction(durable_shop: Shop) -> None:
    from via_state.models import OutboxLane

    shop = durable_shop
    failures = [True]

    @shop.orders().on_event("ship", atomic=True)
    async def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        await OutboxLane.objects.using(POSTGRES_ALIAS).acreate(prefix="written", lane=2000 + event.number)
        if failures:
            failures.pop()
            raise RuntimeError("after the write")

    shop.work()
    shop.place(1)
    until(lambda: position(shop).offset == 1)
    assert OutboxLane.objects.using(POSTGRES_ALIAS).filter(lane=2001).count() == 1
