"""The database finds the rows of an event by what is theirs alone, however many positions a worker or a handler has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Shop
from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.position_rows import hash_position
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import Claim, HandlerId
from via_state.core.records import Position
from via_state.handlers.declaration import Delivery
from via_state.models import EventHandler, HandlerPosition

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
STOCK = HandlerId("shelf.{shelf}", "stock")
MANY = 2000
#: The indexes in which one position is one entry.
ITS_OWN = {"via_state_handlerposition_pkey", "via_state_position_hash"}


@pytest.fixture
def store(durable_shop: Shop) -> RowPositions:
    @durable_shop.shelf().on_event("stock")
    def stock(event: object, delivery: Delivery) -> None: ...

    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ANALYZE via_state_handlerposition")  # which knows nothing of what comes now
    durable_shop.stop(durable_shop.work())  # registers
    positions = RowPositions()
    assert positions.find(STOCK)
    positions.renew("me", "worker_group", 60.0)
    return positions


def claim(store: RowPositions, first: int, last: int) -> list[Claim]:
    found = store.claim(STOCK, [f"shelf.{number}" for number in range(first, last)], "me").values()
    claims = [one for one in found if isinstance(one, Claim)]
    assert len(claims) == last - first
    return claims


@contextmanager
def plans() -> Iterator[list[Any]]:
    """The plans of what is asked of the positions meanwhile, as this connection's planner makes them."""
    found: list[Any] = []
    connection = connections[POSTGRES_ALIAS]

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if '"via_state_handlerposition"' in sql and sql.startswith(("SELECT", "UPDATE", "DELETE")):
            with connection.connection.cursor() as cursor:  # Django's own would come here again
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                found.append((sql, json.dumps(cursor.fetchone()[0])))
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # which is right for a small table, whatever its indexes
    try:
        with connection.execute_wrapper(explain):
            yield found
    finally:
        connection.close()


def test_no_event_costs_more_where_a_worker_and_a_handler_have_many_positions(store: RowPositions) -> None:
    for first in range(0, MANY, 500):
        claim(store, first, first + 500)
    one, other, third = claim(store, 0, 3)
    with plans() as found:
        store.announce(one, 1)
        store.hand_on(one, Position("e", 1, "r"), other, 1)
        store.advance(other, Position("e", 1, "r"), 0)
        store.fail(other, 1, "no", 1.0)
        store.answered(other)
        store.halt(third, "epoch", "text")
        store.away(STOCK, "shelf.4", "me", 60.0, "gone")
        store.halted([(STOCK, "shelf.2")])
        store.release("me", [(STOCK, "shelf.2")])
        store.positions([STOCK], ["shelf.1", "shelf.2"])
        claim(store, 100, 200)
        store.claim(STOCK, ["shelf.5"], "somebody", {"shelf.5": 0})
    assert len(found) > 12
    for sql, plan in found:
        used = {name for name in re.findall(r'"Index Name": "(\w+)"', plan) if "position" in name}
        assert used, sql
        assert used <= ITS_OWN, sql


def test_a_position_begins_as_its_model_says(store: RowPositions) -> None:
    """It is inserted by hand."""
    (begun,) = claim(store, 1, 2)
    row = HandlerPosition.objects.using(POSTGRES_ALIAS).get(pk=begun.id)
    handler = EventHandler.objects.using(POSTGRES_ALIAS).get(pk=row.handler_id)
    fresh = tables.positions.new(
        handler=handler, key="shelf.1", position_hash=hash_position(handler.pk, "shelf.1")
    )
    for field in HandlerPosition._meta.concrete_fields:
        if field.name not in ("id", "worker", "fence"):
            expected = "" if field.name == "wanted_by" else getattr(fresh, field.attname)
            assert getattr(row, field.attname) == expected, field.name
