"""What is committed is done: nothing that a project's code does after the commit makes it undone, or done again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connections, transaction
from django.db.models.signals import post_save
from prometheus_client import REGISTRY

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import metric, position
from tests.handlers.test_commands import letters, run
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison, Retry
from via_state.exceptions import Closed
from via_state.models import DeadLetter, OutboxLane
from via_state.operations.positions import move_to_dead_letters, next_record
from via_state.pod.default import use_pod
from via_state.runtime.loop import LoopThread

QUICK = Retry(base=0.01, max=0.02, max_attempts=3)


def errors(what: str) -> float:
    return REGISTRY.get_sample_value("via_after_commit_errors_total", {"what": what}) or 0.0


def write(number: int) -> None:
    """An effect in the database, which its row counts."""
    OutboxLane.objects.using(POSTGRES_ALIAS).create(lane=number)


def written() -> list[int]:
    rows = OutboxLane.objects.using(POSTGRES_ALIAS).filter(lane__gt=1000)
    return list(rows.order_by("lane").values_list("lane", flat=True))


def fail(text: str) -> None:
    raise RuntimeError(text)


def stopped(*_: object) -> None:
    raise Closed("This process is ending.")


def on_commit(hook: Callable[[], object]) -> None:
    transaction.on_commit(hook, using=POSTGRES_ALIAS)


@contextmanager
def receiving(receiver: Callable[..., None]) -> Iterator[None]:
    """A project that looks at every dead letter."""
    post_save.connect(receiver, sender=DeadLetter)
    try:
        yield
    finally:
        post_save.disconnect(receiver, sender=DeadLetter)


def test_a_hook_that_raises_after_the_commit_neither_repeats_nor_gives_up_the_record(
    shop: Shop, caplog: pytest.LogCaptureFixture, log_values: None
) -> None:
    attempts: list[int] = []
    told: list[int] = []
    before = errors("handler")

    @shop.orders().on_event("ship", atomic=True, retry=QUICK)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        attempts.append(event.number)
        write(1000 + len(attempts))
        on_commit(lambda: fail(f"no answer for {event.number}"))
        on_commit(lambda: sys.exit(1))
        on_commit(lambda: told.append(event.number))

    shop.work()
    shop.place(1, 2)
    until(lambda: told == [1, 2])
    assert attempts == [1, 2]
    assert written() == [1001, 1002]
    assert errors("handler") - before == 4
    assert "RuntimeError: no answer for 1" in caplog.text
    assert "ship on 'orders' at offset" in caplog.text
    said = [one for one in caplog.records if one.name == "via_state.commits" and one.levelname == "ERROR"]
    assert [vars(one)["via_reason"] for one in said] == ["handler"] * 2  # each of the two once a minute
    if shop.kind != "memory":
        until(lambda: position(shop).offset == shop.head("orders").position.offset)
        assert position(shop).attempts == 0
    assert letters(shop) == []


def test_the_hooks_of_what_was_rolled_back_do_not_run(durable_shop: Shop) -> None:
    told: list[int] = []

    @durable_shop.orders().on_event("ship", atomic=True, retry=QUICK)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        on_commit(lambda: told.append(delivery.attempt))
        try:
            with transaction.atomic(using=POSTGRES_ALIAS):
                on_commit(lambda: told.append(-delivery.attempt))
                fail("inside")
        except RuntimeError:
            pass
        if delivery.attempt < 2:
            fail("once")

    durable_shop.work()
    durable_shop.place(1)
    until(lambda: told != [])
    assert told == [2]


def test_a_dead_letter_hook_of_an_atomic_handler_commits_with_the_letter(durable_shop: Shop) -> None:
    shop = durable_shop
    calls: list[int] = []

    def refund(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        calls.append(delivery.attempt)
        write(1000 + len(calls))
        if len(calls) < 3:
            fail("after the refund")

    @shop.orders().on_event("ship", atomic=True, retry=QUICK, dead_letter=refund)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison("never")

    shop.work()
    shop.place(1)
    until(lambda: position(shop).offset == 1)
    assert len(calls) == 3
    assert written() == [1003], "one refund"
    assert [letter.status for letter in letters(shop)] == ["new"]


def test_a_refund_and_its_letter_are_one_transaction_also_when_the_letter_can_not_be_stored(
    durable_shop: Shop,
) -> None:
    shop, fails = durable_shop, [True, True]

    def refund(event: Placed | Cancelled, delivery: Delivery, error: Exception) -> None:
        write(1001 + len(fails))

    @shop.orders().on_event("ship", atomic=True, retry=QUICK, dead_letter=refund)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison("never")

    def receiver(**_: object) -> None:
        if fails:
            fails.pop()
            fail("the project's receiver")

    shop.place(1)
    with receiving(receiver):
        shop.work()
        until(lambda: position(shop).offset == 1)
    assert written() == [1001]


def test_a_letter_whose_storing_has_a_hook_that_raises_is_stored_once(durable_shop: Shop) -> None:
    shop, before = durable_shop, errors("dead_letter")

    @shop.orders().on_event("ship", retry=QUICK)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise Poison("never")

    def receiver(**_: object) -> None:
        on_commit(lambda: fail("no chat"))

    given_up = metric("via_consumer_poisoned_total")
    with receiving(receiver):
        shop.work()
        shop.place(1, 2)
        until(lambda: len(letters(shop)) == 2 and position(shop).offset == 2)
    until(lambda: metric("via_consumer_poisoned_total") - given_up == 2)
    assert errors("dead_letter") - before == 2


def test_a_record_is_set_aside_although_a_hook_raises(durable_shop: Shop) -> None:
    shop, before = durable_shop, errors("operation")

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        fail("no")

    worker = shop.work()
    shop.place(1)
    until(lambda: position(shop).attempts > 0)
    shop.stop(worker)
    row = position(shop)
    (spec,) = shop.orders().definition.handlers.values()
    record = shop.world.run(next_record(shop.world.plane, row, spec, shop.spec()))

    def receiver(**_: object) -> None:
        on_commit(lambda: fail("no chat"))

    with receiving(receiver):
        assert move_to_dead_letters(row, record, shop.spec(), "ann")
    assert position(shop).offset == 1
    assert errors("operation") - before == 1


@pytest.mark.parametrize("atomic", [False, True])
def test_a_replay_is_done_although_a_hook_raises(durable_shop: Shop, atomic: bool) -> None:
    shop, bad = durable_shop, [True]

    @shop.orders().on_event("ship", atomic=atomic)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if bad:
            raise Poison("not yet")
        write(1000 + event.number)
        if atomic:
            on_commit(lambda: fail("no answer"))

    worker = shop.work()
    shop.place(1)
    until(lambda: len(letters(shop)) == 1)
    shop.stop(worker)
    bad.clear()
    before = errors("replay")
    with use_pod(shop.pod):
        assert "1 of 1 dead letter replayed, 0 failed" in run("replay_dead_letters")
    assert written() == [1001]
    assert [letter.status for letter in letters(shop)] == ["replayed"]
    assert errors("replay") - before == atomic


def test_an_append_on_commit_that_fails_does_not_disturb_who_committed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On memory the event is lost, as the memory backplane says; on the others it is in the outbox."""
    told: list[str] = []
    before = errors("append_on_commit")
    log = shop.log()
    with monkeypatch.context() as patch, transaction.atomic(using=POSTGRES_ALIAS):
        write(1001)
        log.append_on_commit(Placed(1))
        on_commit(partial(told.append, "committed"))
        patch.setattr(LoopThread, "soon", stopped)
    assert told == ["committed"]
    assert written() == [1001]
    assert errors("append_on_commit") - before == 1


def test_a_handler_that_exits_has_failed_and_the_worker_continues(shop: Shop) -> None:
    exits = [True, True]
    got: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max=0.02))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if exits:
            exits.pop()
            sys.exit(1)
        got.append(event.number)

    @shop.orders().on_event("bill", retry=Retry(base=0.01, max=0.02))
    async def bill(event: Placed | Cancelled, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            import asyncio

            raise asyncio.CancelledError
        got.append(-event.number)

    shop.work()
    shop.place(1)
    until(lambda: sorted(got) == [-1, 1])


def test_a_commit_that_the_database_refuses_is_an_attempt(durable_shop: Shop) -> None:
    """A trigger of the project that runs at the commit: the database answers, so nothing is unknown."""
    shop = durable_shop
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON via_state_outboxlane DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW WHEN (NEW.lane > 1000) EXECUTE FUNCTION refuse()"
        )
    try:

        @shop.orders().on_event("ship", atomic=True, retry=QUICK)
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            write(1000 + event.number)

        shop.work()
        shop.place(1)
        until(lambda: len(letters(shop)) == 1)
        (letter,) = letters(shop)
        assert (letter.attempts, "never" in letter.error) == (3, True)
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse() CASCADE")
