"""One append may hold any number of records: each turn of a handler costs what it delivers, not what the append holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.handlers.observed import metric, recorder
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery
from via_state.handlers import reading, runner, schedule

pytestmark = pytest.mark.django_db(databases=["postgres"], transaction=True)
MANY = 40 * 50


@pytest.fixture(params=["memory", "postgres"])
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Each turn has 50 records."""
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    monkeypatch.setattr(runner, "READ_LIMIT", 50)
    monkeypatch.setattr(schedule, "TURN", 60.0)
    with shop_of(request.param) as made:
        yield made


def test_a_large_append_is_read_once_for_many_turns(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FRESH", 600.0)
    got = recorder(shop)
    shop.log().append_many([Placed(number) for number in range(MANY)], wait=False)
    before = shop.world.plane.calls.get("read", 0)
    worker = shop.work()
    shop.settle(worker)
    assert got == list(range(MANY))
    assert shop.world.plane.calls["read"] - before <= 3, "40 turns"
    assert metric("via_consumer_lag_events") == 0
    assert worker.measures.handled == MANY


def test_a_large_append_is_read_again_when_what_it_proves_is_old(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FRESH", 0.0)
    got: list[int] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)
        if len(got) == 60:
            shop.world.run(shop.world.inner.drop("orders"))

    shop.log().append_many([Placed(number) for number in range(MANY)], wait=False)
    shop.work()
    until(lambda: metric("via_consumer_halted", reason="history") == 1)
    assert got == list(range(100)), "to the end of the turn, and no further"


def test_what_is_appended_behind_a_large_append_is_delivered_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its doorbell rings while records of the large one are delivered."""
    monkeypatch.setattr(reading, "FRESH", 600.0)
    got: list[int] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)
        if len(got) == 170:
            shop.place(MANY)

    shop.log().append_many([Placed(number) for number in range(200)], wait=False)
    shop.work()
    until(lambda: got == [*range(200), MANY])
