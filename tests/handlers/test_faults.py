"""What went wrong with side effects elsewhere, and must not here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.handlers.observed import UNREAD, metric, position, recorder
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery, Retry
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.database.retention import handler_holds
from via_state.core.records import GENESIS
from via_state.exceptions import BackplaneUnavailable
from via_state.models import DeadLetter, HandlerPosition
from via_state.operations.positions import find_position, resume


def test_failing_calls_of_the_backplane_do_not_end_a_handler(shop: Shop) -> None:
    got = recorder(shop)
    shop.world.plane.fail("read", *[Fault.BEFORE] * 5)
    shop.work()
    shop.place(1)
    until(lambda: got == [1])
    shop.world.plane.fail("changed", *[Fault.BEFORE] * 3)
    shop.world.plane.deaf = True
    shop.place(2)
    until(lambda: got == [1, 2])


def test_of_several_workers_one_runs_each_effect(durable_shop: Shop) -> None:
    got = recorder(durable_shop)
    for _ in range(4):
        durable_shop.work()
    durable_shop.place(*range(50))
    until(lambda: len(got) >= 50)
    assert got == list(range(50))


def test_a_handler_runs_without_any_request_or_page(durable_shop: Shop) -> None:
    durable_shop.place(1)
    got = recorder(durable_shop)
    durable_shop.work()
    until(lambda: got == [1])


def test_a_registered_handler_keeps_its_records_whether_or_not_anything_runs(durable_shop: Shop) -> None:
    shop = durable_shop
    got = recorder(shop)
    shop.place(1)
    worker = shop.work()
    shop.settle(worker)
    epoch = shop.head("orders").position.epoch
    shop.stop(worker)
    shop.place(2, 3)
    assert [pin.offset for pin in handler_holds("orders", "orders", epoch)] == [1]
    assert [pin.offset for pin in handler_holds("orders", "orders", "another")] == [0]
    assert handler_holds("shelf.{shelf}", "shelf.1", epoch) == []
    assert got == [1]


def test_a_family_s_handler_keeps_the_records_of_keys_that_it_never_saw(durable_shop: Shop) -> None:
    shop = durable_shop

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None: ...

    shop.stop(shop.work())
    assert [pin.offset for pin in handler_holds("shelf.{shelf}", "shelf.99", "any")] == [0]


def test_a_handler_that_lost_records_halts_until_it_is_told(durable_shop: Shop) -> None:
    shop = durable_shop
    got = recorder(shop)
    shop.place(1)
    worker = shop.work()
    shop.settle(worker)
    shop.stop(worker)
    shop.place(2, 3, 4)
    shop.world.run(shop.world.inner.compact("orders", 3))
    shop.work()
    until(lambda: position(shop).halted == "gap")
    until(lambda: metric("via_consumer_halted", reason="gap") == 1)
    assert got == [1]
    at, from_floor = shop.world.run(find_position(shop.world.plane, "orders", "first"))
    resume(position(shop), at, from_floor)
    until(lambda: got == [1, 4])
    until(lambda: metric("via_consumer_halted", reason="gap") == 0)


def test_another_history_halts_and_sends_nothing_again(shop: Shop) -> None:
    got = recorder(shop)
    shop.place(1, 2)
    worker = shop.work()
    shop.settle(worker)
    shop.world.run(shop.world.inner.drop("orders"))
    shop.place(1, 2, 3)
    until(lambda: metric("via_consumer_halted", reason="history") == 1)
    shop.settle(worker)
    assert got == [1, 2]


def test_one_bad_record_does_not_end_the_worker_and_the_stuck_gauge_returns_to_zero(shop: Shop) -> None:
    broken = [True]
    got: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(max=0.05))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1 and broken:
            raise SystemError("a crash")
        got.append(event.number)

    shop.work()
    shop.place(1, 2)
    before = metric("via_consumer_error_total")
    until(lambda: metric("via_consumer_stuck") >= 3)
    assert got == []
    broken.clear()
    until(lambda: got == [1, 2])
    until(lambda: metric("via_consumer_stuck") == 0 == metric("via_consumer_lag_events"))
    assert metric("via_consumer_error_total") > before


def test_a_record_of_newer_code_blocks_with_growing_pauses_and_is_never_poisoned(shop: Shop) -> None:
    got = recorder(shop, retry=Retry(base=0.1, max_attempts=1))
    before = metric("via_consumer_forward_incompatible_total")
    shop.work()
    shop.place(1)
    shop.raw("orders", json.dumps([["Placed", 2, {"number": 2}]]).encode())
    shop.place(3)
    until(lambda: metric("via_consumer_forward_incompatible_total") - before >= 2)
    started = time.monotonic()
    until(lambda: metric("via_consumer_forward_incompatible_total") - before >= 4)
    assert time.monotonic() - started > 0.2
    assert got == [1]
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).exists()


def test_an_unknown_event_blocks(shop: Shop) -> None:
    got = recorder(shop)
    before = metric("via_consumer_forward_incompatible_total")
    shop.work()
    shop.raw("orders", b'[["Sent", 1, {}]]')
    shop.place(2)
    until(lambda: metric("via_consumer_forward_incompatible_total") > before)
    assert got == []


def test_an_undecodable_record_is_kept_for_code_that_reads_it(shop: Shop) -> None:
    got = recorder(shop, retry=Retry(max_attempts=1))
    before = metric("via_consumer_undecodable_total"), metric("via_consumer_poisoned_total")
    shop.work()
    shop.raw("orders", b"\xff\xff")
    shop.raw("orders", b'[["Placed",1,{"number":"\\u0000x"}],{"what":1}]', 2)
    shop.place(2)
    until(lambda: got == [2])
    assert (metric("via_consumer_undecodable_total"), metric("via_consumer_poisoned_total")) == (
        before[0] + 3,
        before[1],
    )
    letters: list[Any]
    if shop.kind == "memory":
        letters = [letter for _, _, letter in shop.memory.letters]
    else:
        letters = list(
            DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).order_by("offset")
        )
    assert [(one.reason, one.event_name, one.event_version, one.payload, one.error) for one in letters] == [
        ("unreadable", "", 0, "\\xff\\xff", f"{UNREAD}it is not a record that via_state has written."),
        (
            "unreadable",
            "Placed",
            1,
            '{"number":"\\u0000x"}',
            f"{UNREAD}Expected `int`, got `str` - at `$.number`.",
        ),
        ("unreadable", "", 0, '{"what":1}', f"{UNREAD}it is not a record that via_state has written."),
    ]


def test_a_record_that_can_not_be_decoded_concerns_only_handlers_of_its_event(durable_shop: Shop) -> None:
    shop, got = durable_shop, []

    @shop.orders().on_event("undo", Cancelled)
    def undo(event: Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    shop.work()
    shop.raw("orders", b'[["Placed",1,{"number":"x"}]]')
    shop.log().append(Cancelled(3))
    until(lambda: got == [3])
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).exists()


def test_a_position_that_can_not_be_loaded_replays_nothing(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, fails = durable_shop, [3]
    got = recorder(shop)
    shop.place(1, 2)
    worker = shop.work()
    shop.settle(worker)
    shop.stop(worker)
    whole = RowPositions.claim

    def claim(self: RowPositions, *args: Any) -> object:
        if fails[0]:
            fails[0] -= 1
            raise BackplaneUnavailable("injected")
        return whole(self, *args)

    monkeypatch.setattr(RowPositions, "claim", claim)
    shop.place(3)
    shop.work()
    until(lambda: got == [1, 2, 3])
    assert fails == [0]


def test_an_error_that_no_database_can_store_is_kept_readably(durable_shop: Shop) -> None:
    shop = durable_shop

    @shop.orders().on_event("ship", retry=Retry(base=0.01, max_attempts=2))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise ValueError("nul \x00, half a pair \ud800")

    shop.work()
    shop.place(1)
    until(lambda: position(shop).offset == 1)
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert letter.error == r"ValueError: nul \x00, half a pair \ud800"
    assert letter.traceback.strip().endswith(letter.error)


def test_a_handler_that_stands_still_for_long_stays_visible_and_can_be_resumed(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = durable_shop
    monkeypatch.setattr("via_state.handlers.worker.IDLE", 0.0)
    got = recorder(shop)
    shop.place(1)
    worker = shop.work()
    shop.settle(worker)
    shop.world.run(shop.world.inner.drop("orders"))
    shop.place(2)
    until(lambda: metric("via_consumer_halted", reason="history") == 1)
    sweeps = shop.world.plane.calls["changed"]
    until(lambda: shop.world.plane.calls["changed"] > sweeps + 3)
    assert metric("via_consumer_halted", reason="history") == 1
    at, from_floor = shop.world.run(find_position(shop.world.plane, "orders", "first"))
    resume(position(shop), at, from_floor)
    until(lambda: got == [1, 2])


def test_handlers_can_append(shop: Shop) -> None:
    @shop.orders().on_event("ship", Placed)
    def ship(event: Placed, delivery: Delivery) -> None:
        shop.log().append(Cancelled(event.number), wait=False)

    worker = shop.work()
    (placed,) = shop.place(1)
    until(lambda: shop.head("orders").position.offset > placed)
    shop.settle(worker)
    assert shop.log().read() == []


def test_a_worker_stops_while_a_record_fails(shop: Shop) -> None:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise RuntimeError("no")

    worker = shop.work()
    shop.place(1)
    until(lambda: worker.measures.stuck_now == 1)
    started = time.monotonic()
    shop.stop(worker)
    assert time.monotonic() - started < 3
    assert metric("via_consumer_stuck") == 0


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_many_idle_logs_cost_a_few_statements_a_second(postgres: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop_of("postgres", RECONCILE_INTERVAL=1.0, HANDLER_LEASE=15.0) as shop:
        _idle(shop, monkeypatch)


def _idle(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):

        @shop.shelf().on_event(name)
        def handle(event: Placed | Cancelled, delivery: Delivery) -> None: ...

    for shelf in range(100):
        shop.place(1, shelf=shelf)
    worker = shop.work()
    shop.settle(worker)
    assert worker.measures.handled == 300
    statements: list[object] = []
    monkeypatch.setattr(CursorWrapper, "execute", _counted(CursorWrapper.execute, statements))
    calls = sum(shop.world.plane.calls.values())
    time.sleep(3)  # it is the time that is measured
    assert (sum(shop.world.plane.calls.values()) - calls + len(statements)) / 3 < 10


def _counted(execute: Callable[..., object], statements: list[object]) -> Callable[..., object]:
    def counted(*args: object, **kwargs: object) -> object:
        statements.append(args[1])
        return execute(*args, **kwargs)

    return counted


def test_genesis_is_kept_for_a_log_that_was_never_written(durable_shop: Shop) -> None:
    recorder(durable_shop)
    worker = durable_shop.work()
    durable_shop.settle(worker)
    assert not HandlerPosition.objects.using(POSTGRES_ALIAS).filter(handler__prefix=durable_shop.world.prefix)
    assert GENESIS.offset == 0
