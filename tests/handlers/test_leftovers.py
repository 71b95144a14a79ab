"""What a handler leaves behind on its thread."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.utils import timezone, translation

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison, Retry
from via_state.models import DeadLetter, HandlerPosition


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_what_a_handler_sets_for_its_thread_is_not_left_to_the_next_one(shop: Shop, asynchronous: bool) -> None:
    got: list[tuple[int, str, str]] = []

    def handle(event: Placed | Cancelled) -> None:
        got.append((event.number, translation.get_language(), timezone.get_current_timezone_name()))
        translation.activate("de")
        timezone.activate("Asia/Tokyo")
        if event.number == 2:
            raise Poison("with a language of its own")

    async def ahandle(event: Placed | Cancelled, delivery: Delivery) -> None:
        handle(event)

    shop.orders().on_event("ship")(ahandle if asynchronous else lambda event, delivery: handle(event))
    shop.place(1, 2, 3)
    shop.work(concurrency=1)
    until(lambda: len(got) == 3)
    assert got == [
        (number, translation.get_language(), timezone.get_current_timezone_name()) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("raises", [False, True])
def test_a_transaction_that_a_handler_leaves_open_is_undone_and_a_failure(
    durable_shop: Shop, raises: bool
) -> None:
    shop = durable_shop
    careless = [True]
    rows = DeadLetter.objects.using(POSTGRES_ALIAS)

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.02))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if careless:
            careless.pop()
            transaction.set_autocommit(False, using=POSTGRES_ALIAS)
        rows.create(
            prefix="left open",
            handler="x",
            template="x",
            key=str(delivery.attempt),
            epoch="",
            offset=1,
            event_version=1,
            attempts=1,
            added_at=timezone.now(),
        )
        if raises and delivery.attempt == 1:
            raise RuntimeError("with autocommit off")

    shop.place(1)
    worker = shop.work(concurrency=1)
    until(
        lambda: (
            HandlerPosition.objects.using(POSTGRES_ALIAS)
            .filter(handler__prefix=shop.world.prefix, offset=1)
            .exists()
        )
    )
    shop.settle(worker)
    assert list(rows.filter(prefix="left open").values_list("key", flat=True)) == ["2"]
    rows.filter(prefix="left open").delete()
