"""What tests look at: the position of the handler ``ship``, its metrics, and what it was given."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop
from via_state import Delivery
from via_state.bookkeeping.positions import HandlerId
from via_state.models import HandlerPosition

SHIP = HandlerId("orders", "ship")
UNREAD = "It can't be decoded: "


def position(shop: Shop) -> HandlerPosition:
    rows = HandlerPosition.objects.using(POSTGRES_ALIAS)
    return rows.filter(handler__prefix=shop.world.prefix, key="orders").first() or HandlerPosition()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"key": "orders", "name": "ship", **labels}) or 0.0


def recorder(shop: Shop, **options: Any) -> list[int]:
    got: list[int] = []

    @shop.orders().on_event("ship", **options)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    return got
