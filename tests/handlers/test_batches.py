"""Atomic handlers with ``batch=``: several records in one transaction, each of them as if it had been alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import SHIP, position
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison, Retry
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import SUSPECT, Claim, together
from via_state.handlers import schedule
from via_state.handlers.declaration import HandlerSpec
from via_state.models import DeadLetter, EventHandler

QUICK = Retry(base=0.01, max=0.02, max_attempts=2)
Given = list[tuple[int, int]]


@pytest.fixture(autouse=True)
def one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine ends no batch early."""
    monkeypatch.setattr(schedule, "TURN", 1000.0)


def write(number: int) -> None:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            "INSERT INTO via_state_outboxlane (prefix, lane, lease_owner) VALUES ('written', %s, '')",
            [1000 + number],
        )


def written() -> list[int]:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SELECT lane - 1000 FROM via_state_outboxlane WHERE prefix = 'written' ORDER BY lane")
        return [number for (number,) in cursor.fetchall()]


def shipping(shop: Shop, fails: Callable[[int, int], None], **options: Any) -> tuple[Given, list[int]]:
    """A handler of batches of ten that writes a row for each order; what it was given, and how many transactions were committed."""
    given: Given = []
    commits: list[int] = []

    @shop.orders().on_event("ship", Placed, atomic=True, batch=10, **options)
    def ship(event: Placed, delivery: Delivery) -> None:
        given.append((event.number, delivery.attempt))
        write(event.number)
        transaction.on_commit(lambda: commits.append(event.number), using=POSTGRES_ALIAS)
        fails(event.number, delivery.attempt)

    return given, commits


def place_together(shop: Shop, *numbers: int) -> None:
    shop.log().append_many([Placed(number) for number in numbers], wait=False)


def nothing_fails(number: int, attempt: int) -> None: ...


def test_records_of_a_batch_are_one_transaction(durable_shop: Shop) -> None:
    shop = durable_shop
    transactions: list[int] = []

    def which(number: int, attempt: int) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("SELECT txid_current()")
            transactions.append(cursor.fetchone()[0])

    given, commits = shipping(shop, which)
    place_together(shop, *range(1, 26))
    worker = shop.work()
    until(lambda: position(shop).offset == 25)
    shop.settle(worker)
    assert given == [(number, 1) for number in range(1, 26)]
    assert written() == commits == list(range(1, 26))
    assert [transactions.count(one) for one in dict.fromkeys(transactions)] == [10, 10, 5]
    assert position(shop).in_flight_offset == 0


def test_what_a_handler_does_not_want_is_passed_over_inside_of_a_batch(durable_shop: Shop) -> None:
    shop = durable_shop
    given, _ = shipping(shop, nothing_fails)
    shop.log().append_many([Placed(1), Cancelled(1), Placed(2), Cancelled(2)], wait=False)
    worker = shop.work()
    until(lambda: position(shop).offset == 4)
    shop.settle(worker)
    assert given == [(1, 1), (2, 1)]
    assert written() == [1, 2]


def test_a_record_that_fails_is_isolated_and_counted_alone(durable_shop: Shop) -> None:
    shop = durable_shop
    seen: list[tuple[int, list[int]]] = []

    def fails(number: int, attempt: int) -> None:
        if number == 5:
            if attempt == 2:
                seen.append((position(shop).attempts, written()))
            raise RuntimeError("five")

    given, commits = shipping(shop, fails, retry=QUICK)
    place_together(shop, *range(1, 13))
    worker = shop.work()
    until(lambda: position(shop).offset == 12)
    shop.settle(worker)
    assert seen == [(1, [1, 2, 3, 4, 5])], "those before it are committed, its own row is undone with it"
    assert written() == commits == [1, 2, 3, 4, *range(6, 13)]
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert (letter.offset, letter.attempts, letter.error) == (5, 2, "RuntimeError: five")
    assert max(attempt for number, attempt in given if number != 5) == 1
    assert given.count((5, 2)) == 1


def test_a_record_that_is_given_up_at_once_takes_no_neighbour_with_it(durable_shop: Shop) -> None:
    shop = durable_shop

    def fails(number: int, attempt: int) -> None:
        if number == 3:
            raise Poison("never")

    shipping(shop, fails)
    place_together(shop, *range(1, 8))
    worker = shop.work()
    until(lambda: position(shop).offset == 7)
    shop.settle(worker)
    assert written() == [1, 2, 4, 5, 6, 7]
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert (letter.offset, letter.attempts) == (3, 1)


def test_a_commit_that_the_database_refuses_is_blamed_on_its_record(durable_shop: Shop) -> None:
    shop = durable_shop
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("CREATE TABLE only_once (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        cursor.execute("INSERT INTO only_once VALUES (4)")

    def fails(number: int, attempt: int) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("INSERT INTO only_once VALUES (%s)", [number])

    try:
        shipping(shop, fails, retry=QUICK)
        place_together(shop, *range(1, 8))
        worker = shop.work()
        until(lambda: position(shop).offset == 7)
        shop.settle(worker)
        assert written() == [1, 2, 3, 5, 6, 7]
        (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
        assert (letter.offset, letter.attempts) == (4, 2)
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("DROP TABLE only_once")


def test_a_death_with_a_batch_blames_none_and_each_runs_alone(durable_shop: Shop) -> None:
    shop = durable_shop
    transactions: list[int] = []

    def which(number: int, attempt: int) -> None:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("SELECT txid_current()")
            transactions.append(cursor.fetchone()[0])

    given, _ = shipping(shop, which, retry=Retry(max_attempts=1))
    place_together(shop, *range(1, 13))
    shop.stop(shop.work())  # registers
    given.clear()
    transactions.clear()
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("DELETE FROM via_state_outboxlane WHERE prefix = 'written'")
        cursor.execute(
            "UPDATE via_state_handlerposition SET epoch = '', \"offset\" = 0, record_id = '', from_floor = true "
            "WHERE handler_id IN (SELECT id FROM via_state_eventhandler WHERE prefix = %s)",
            [shop.world.prefix],
        )
    store = RowPositions()
    store._ids[SHIP] = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix).pk
    store.renew("dead", "gone", 0.3)
    claim = store.claim(SHIP, ["orders"], "dead")["orders"]
    assert isinstance(claim, Claim)
    store.announce(claim, together(4))
    until(lambda: "dead" not in store.renew("me", "gone", 5))
    found = store.claim(SHIP, ["orders"], "me")["orders"]
    assert isinstance(found, Claim)
    assert (found.attempts, found.last_error, found.in_flight_offset, found.alone_until) == (0, SUSPECT, 0, 4)
    store.leave("me")

    worker = shop.work()
    until(lambda: position(shop).offset == 12)
    shop.settle(worker)
    assert given == [(number, 1) for number in range(1, 13)]
    assert [transactions.count(one) for one in dict.fromkeys(transactions)] == [1, 1, 1, 1, 8]
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).exists()


def test_batches_run_over_memory_and_nats_too(shop: Shop) -> None:
    given: list[int] = []

    @shop.orders().on_event("ship", atomic=True, batch=3)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        given.append(event.number)

    place_together(shop, *range(7))
    worker = shop.work()
    until(lambda: len(given) == 7)
    shop.settle(worker)
    assert given == list(range(7))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 0, "atomic": True}, "from 1 to 500"),
        ({"batch": 501, "atomic": True}, "from 1 to 500"),
        ({"batch": True, "atomic": True}, "from 1 to 500"),
        ({"batch": "10", "atomic": True}, "from 1 to 500"),
        ({"batch": 10}, "Add atomic=True"),
    ],
)
def test_a_batch_that_can_not_be_is_refused(options: dict[str, object], said: str) -> None:
    from via_state.exceptions import DeclarationError
    from via_state.handlers.declaration import declare

    def ship(event: Placed, delivery: Delivery) -> None: ...

    with pytest.raises(DeclarationError, match=said):
        declare({}, HandlerSpec("ship", ship, **options), "orders")  # type: ignore[arg-type]
