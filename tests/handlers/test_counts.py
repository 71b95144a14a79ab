"""Lags and tails are told in events, also where offsets have gaps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import call_command

from tests.handlers.observed import metric, position
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery
from via_state.admin.lags import Place, lags_of
from via_state.pod.default import use_pod


@pytest.fixture(params=["postgres", "nats"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """The process's own, on each durable backplane."""
    request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with shop_of(request.param) as made, use_pod(made.pod):
        yield made


def test_events_before_a_handler_are_counted(shop: Shop) -> None:
    got: list[int] = []
    broken = [True]

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 2 and broken:
            raise RuntimeError("no")
        got.append(event.number)

    for number in (1, 2, 3, 4):
        shop.place(number)
        shop.place(1, 2, 3, shelf=7)  # which is not for it
    worker = shop.work()
    until(lambda: metric("via_consumer_stuck") >= 2)
    assert metric("via_consumer_lag_events") == 3
    row = position(shop)
    places = Place("orders"), Place("orders", row.epoch, row.offset), Place("orders", "another", row.offset)
    assert lags_of(places) == {places[0]: 4, places[1]: 3}
    out = StringIO()
    call_command("state_status", "--json", "--key", "orders", stdout=out)
    (found,) = json.loads(out.getvalue())
    assert (found["handlers"][0]["lag"], found["tail"]) == (3, 4)
    broken.clear()
    until(lambda: got == [1, 2, 3, 4])
    until(lambda: metric("via_consumer_lag_events") == 0)
    assert worker.measures.handled == 4
