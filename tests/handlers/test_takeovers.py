"""What a killed, stopped or late worker leaves to others, and what it can no longer write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.observed import SHIP, position, recorder
from tests.handlers.world import LEASE, Cancelled, Placed, Shop, until
from via_state import Delivery, Retry
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import Claim, Held
from via_state.exceptions import BackplaneUnavailable, Fenced
from via_state.models import DeadLetter, EventHandler


def test_attempts_are_counted_over_restarts(durable_shop: Shop) -> None:
    shop = durable_shop
    attempts: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(base=0.2, max=0.2, max_attempts=4))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise RuntimeError("no")

    shop.place(1)
    for count in (1, 2, 3):
        worker = shop.work()
        until(lambda count=count: len(attempts) >= count)  # type: ignore[misc]
        shop.stop(worker)
    shop.work()
    until(lambda: position(shop).offset == 1)
    assert attempts == [1, 2, 3, 4]
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert (letter.attempts, letter.error, letter.status) == (4, "RuntimeError: no", "new")
    assert (letter.event_name, letter.event_version, json.loads(letter.payload)) == ("Placed", 1, {"number": 1})
    assert "raise RuntimeError" in letter.traceback


def test_a_killed_worker_is_taken_over_within_two_leases_and_that_counts_as_an_attempt(durable_shop: Shop) -> None:
    shop = durable_shop
    attempts: list[int] = []
    died = threading.Event()

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) == 1:
            died.wait(60)

    shop.place(1)
    killed = shop.work()
    until(lambda: attempts == [1])
    shop.kill(killed)
    started = time.monotonic()
    shop.work()
    until(lambda: len(attempts) == 2)
    assert time.monotonic() - started < 2 * LEASE
    assert attempts == [1, 2]
    until(lambda: position(shop).offset == 1)
    died.set()
    assert position(shop).offset == 1


def test_a_record_that_kills_its_workers_is_given_up(durable_shop: Shop) -> None:
    shop = durable_shop
    got: list[int] = []

    @shop.orders().on_event("ship", retry=Retry(max_attempts=2))
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    shop.stop(shop.work())  # registers
    shop.place(1, 2)
    store = RowPositions()
    store.register({})
    store._ids[SHIP] = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix).pk
    for name in ("dead-1", "dead-2"):
        store.renew(name, "worker_group", 0.3)
        claim = store.claim(SHIP, ["orders"], name)["orders"]
        assert isinstance(claim, Claim)
        store.announce(claim, 1)
        until(lambda name=name: name not in store.renew("me", "worker_group", 1.0))  # type: ignore[misc]
    shop.work()
    until(lambda: got == [2])
    (letter,) = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    assert "died" in letter.error


def test_what_could_not_be_given_back_is_given_back_later(
    durable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker waits for it for as long as the one that holds it lives."""
    shop, fails = durable_shop, [2]
    got: list[str] = []

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery.key)

    whole = RowPositions.release

    def release(self: RowPositions, worker: str, positions: Any) -> None:
        if fails[0]:
            fails[0] -= 1
            raise BackplaneUnavailable("injected")
        whole(self, worker, positions)

    monkeypatch.setattr(RowPositions, "release", release)
    keys = range(20)
    for shelf in keys:
        shop.place(1, shelf=shelf)
    first = shop.work()
    shop.settle(first)
    second = shop.work()
    until(lambda: len(second.alive) == 2 and fails == [0])
    for shelf in keys:
        shop.place(2, shelf=shelf)
    until(lambda: sorted(got) == sorted([f"shelf.{shelf}" for shelf in keys] * 2))


def test_a_stale_worker_can_not_commit(durable_shop: Shop) -> None:
    shop = durable_shop
    recorder(shop)
    shop.stop(shop.work())
    shop.place(1)
    store = RowPositions()
    store._ids[SHIP] = EventHandler.objects.using(POSTGRES_ALIAS).get(prefix=shop.world.prefix).pk
    store.renew("stale", "worker_group", 0.2)
    stale = store.claim(SHIP, ["orders"], "stale")["orders"]
    assert isinstance(stale, Claim)
    assert "fresh" in store.renew("fresh", "worker_group", 30)
    until(lambda: "stale" not in store.renew("fresh", "worker_group", 30))
    fresh = store.claim(SHIP, ["orders"], "fresh")["orders"]
    assert isinstance(fresh, Claim)
    assert isinstance(store.claim(SHIP, ["orders"], "stale")["orders"], Held)
    here = shop.head("orders").position
    writes: list[Callable[[], None]] = [
        lambda: store.advance(stale, here, 0),
        lambda: store.fail(stale, 1, "no", 1.0),
        lambda: store.halt(stale, "gap", "no"),
        lambda: store.announce(stale, 1),
    ]
    for write in writes:
        with pytest.raises(Fenced):
            write()
    store.advance(fresh, here, 0)
    assert position(shop).offset == 1
