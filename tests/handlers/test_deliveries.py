"""Side effects run at least once for each event, in order, and their position outlives the worker."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Offset, Poison, Retry, RetryAfter
from via_state.core.events import Decoded, EventCodec

pytestmark = pytest.mark.django_db(databases=["postgres"], transaction=True)


def test_a_handler_gets_each_event_with_its_offset_and_the_fold_stays_pure(shop: Shop) -> None:
    got: list[tuple[int, Offset]] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append((event.number, delivery.offset))

    shop.work()
    offsets = shop.place(1, 2, 3)
    until(lambda: len(got) == 3)
    assert got == list(zip((1, 2, 3), offsets, strict=True))
    assert shop.log().read(at_least=got[-1][1]) == [1, 2, 3]
    assert shop.log().read(at_least=None) == [1, 2, 3]


def test_an_async_handler_is_awaited(shop: Shop) -> None:
    got: list[int] = []

    @shop.orders().on_event("ship")
    async def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    until(lambda: got == [1, 2])


def test_a_handler_gets_the_types_that_it_names(shop: Shop) -> None:
    got: list[int] = []

    @shop.orders().on_event("refund", Cancelled)
    def refund(event: Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    worker = shop.work()
    shop.place(1, 2)
    shop.log().append(Cancelled(1))
    shop.place(3)
    shop.settle(worker)
    assert got == [1]


def test_a_restart_continues_after_the_last_one(shop: Shop) -> None:
    got: list[int] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    worker = shop.work()
    shop.place(1, 2, 3)
    shop.settle(worker)
    shop.stop(worker)
    shop.place(4)
    worker = shop.work()
    shop.settle(worker)
    assert got == [1, 2, 3, 4]


def test_a_failure_is_tried_again_before_what_is_behind_it(shop: Shop) -> None:
    got: list[tuple[int, int]] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append((event.number, delivery.attempt))
        if event.number == 2 and delivery.attempt < 3:
            raise RuntimeError("no stamps")

    shop.work()
    shop.place(1, 2, 3)
    until(lambda: (3, 1) in got)
    assert got == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]


def test_one_blocked_key_does_not_hold_the_others(shop: Shop) -> None:
    got: list[tuple[str, int]] = []

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        if delivery.key == "shelf.1":
            raise RuntimeError("it is full")
        got.append((delivery.key, event.number))

    shop.work(concurrency=1)
    shop.place(1, 2, shelf=1)
    shop.place(3, 4, shelf=2)
    shop.place(5, shelf=3)
    until(lambda: len(got) == 3)
    assert sorted(got) == [("shelf.2", 3), ("shelf.2", 4), ("shelf.3", 5)]


def test_the_idempotency_key_is_the_same_in_every_attempt_and_differs_between_records(shop: Shop) -> None:
    keys: list[str] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        keys.append(delivery.idempotency_key)
        if delivery.attempt == 1:
            raise RuntimeError

    shop.work()
    shop.place(1, 2)
    until(lambda: len(keys) == 4)
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_retry_after_waits_as_long_as_it_says(shop: Shop) -> None:
    import time

    times: list[float] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise RetryAfter(0.3)

    shop.work()
    shop.place(1)
    until(lambda: len(times) == 2)
    assert 0.29 < times[1] - times[0] < 5


@pytest.mark.parametrize(("start", "expected"), [("first", [1, 2, 3]), ("head", [3])])
def test_a_new_handler_starts_where_it_says(
    shop: Shop, start: Literal["first", "head"], expected: list[int]
) -> None:
    got: list[int] = []
    shop.place(1, 2)

    @shop.orders().on_event("ship", start=start)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    worker = shop.work()
    shop.place(3)
    shop.settle(worker)
    assert got == expected


def test_poison_goes_to_the_dead_letters_at_once(shop: Shop) -> None:
    got: list[int] = []
    given_up: list[tuple[int, str]] = []

    def hook(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        given_up.append((event.number, str(error)))

    @shop.orders().on_event("ship", dead_letter=hook)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            raise Poison("no such street")
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    until(lambda: got == [2])
    assert given_up == [(1, "no such street")]


def test_after_max_attempts_the_record_is_given_up_and_the_next_one_delivered(shop: Shop) -> None:
    attempts: list[int] = []
    got: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(max_attempts=3))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            attempts.append(delivery.attempt)
            raise RuntimeError("no")
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    until(lambda: got == [2])
    assert attempts == [1, 2, 3]


def test_a_dead_letter_hook_that_raises_keeps_the_record(shop: Shop) -> None:
    hooks: list[int] = []
    got: list[int] = []

    def hook(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        hooks.append(delivery.attempt)
        if len(hooks) < 3:
            raise RuntimeError("the hook failed")

    @shop.orders().on_event("ship", retry=Retry(max_attempts=1), dead_letter=hook)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            raise RuntimeError("no")
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    until(lambda: got == [2])
    assert hooks == [1, 2, 3]


def test_a_handler_of_a_family_is_given_the_parameters_as_they_were(shop: Shop) -> None:
    got: list[tuple[str, dict[str, str]]] = []

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append((delivery.key, dict(delivery.parameters)))

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append((delivery.key, dict(delivery.parameters)))

    shop.work()
    shop.place(1)
    shop.shelf().using(shop.pod).at(shelf="a.b c").append(Placed(2))
    until(lambda: len(got) == 2)
    assert sorted(got) == [("orders", {}), ("shelf.a~2Eb~20c", {"shelf": "a.b c"})]


def test_no_step_decodes_more_of_a_large_append_than_it_delivers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure of a record, and each turn, reads again."""
    got: list[int] = []
    decoded: list[int] = []
    decode = EventCodec.decode

    def counting(codec: EventCodec, data: bytes, count: int) -> Decoded:
        decoded.append(count)
        return decode(codec, data, count)

    @shop.orders().on_event("ship", retry=Retry(base=0.001, max=0.001))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)
        if event.number < 10 and delivery.attempt == 1:
            raise RuntimeError("no stamps")

    shop.log().append_many([Placed(number) for number in range(1000)], wait=False)
    monkeypatch.setattr(EventCodec, "decode", counting)
    shop.work()
    until(lambda: len(got) >= 30)
    assert got[:20] == [number for number in range(10) for _ in range(2)]
    assert len(decoded) >= 10
    assert max(decoded) <= 500
