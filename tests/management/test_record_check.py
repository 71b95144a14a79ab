"""A deploy that can't read what is stored is found before it runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.checks import run_checks

from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.world import World, world_of
from via_state import State, StateAppEvents
from via_state.declarations.registry import registry
from via_state.pod.default import use_pod

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

BACKENDS = {
    "postgres": "via_state.backplanes.postgres.PostgresBackplane",
    "nats": "via_state.backplanes.nats.NatsBackplane",
}


@dataclass(frozen=True)
class Paid:
    amount: int
    currency: str
    event_version = 2
    event_upcasters = {1: lambda old: {**old, "currency": old["currency"].upper()}}

    def fold(self, total: int) -> int:
        return total + self.amount


@pytest.fixture(params=["postgres", "nats"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with (
        world_of(request.param, BACKEND=BACKENDS[request.param]) as made,
        registry.isolated(),
        use_pod(made.start()),
    ):

        class Shop(State):
            log = StateAppEvents(Paid, key="payments", retired=("Gone",))
            room = StateAppEvents(Paid, key="room.{room}")

        yield made


def stored(world: World, key: str, *records: bytes) -> None:
    data = b"[" + b",".join(records) + b"]"
    world.run(world.plane.append(key, uuid.uuid4().hex, len(records), data))


def found(databases: list[str] | None = None) -> list[Any]:
    messages = run_checks(tags=["database"], databases=[POSTGRES_ALIAS] if databases is None else databases)
    return [one for one in messages if str(one.id) in ("via_state.E018", "via_state.W006", "via_state.W007")]


GOOD = b'["Paid",2,{"amount":1,"currency":"EUR"}]'


def test_the_check_names_what_this_code_can_not_read(world: World) -> None:
    for _ in range(12):
        stored(world, "payments", *[GOOD] * 100)
    stored(world, "payments", b'["Gone",1,{}]', b'["Paid",1,{"amount":1,"currency":"eur"}]')
    assert found() == []
    stored(world, "payments", b'["Paid",2,{"amount":1}]', b'["Paid",1,{"amount":1}]', b'["Paid",3,{}]')
    stored(world, "room.7", GOOD, b'["Refunded",1,{"amount":1}]')
    stored(world, "room.8", GOOD, b'["Refunded",1,{"amount":1}]', b"{}")
    assert [(one.id, one.obj) for one in found()] == [
        ("via_state.E018", "payments"),
        ("via_state.E018", "payments"),
        ("via_state.W006", "payments"),
        ("via_state.W006", "room.{room}"),
        ("via_state.E018", "room.{room}"),
    ]
    first, second, newer, unknown, foreign = (one.msg for one in found())
    assert first.startswith("The event Paid, version 2, stored in the log 'payments' at offset ")
    assert first.endswith("can't be decoded by this code: Object missing required field `currency`.")
    assert "The event Paid, version 1," in second
    assert "is of version 3" in newer
    assert "The event Refunded, stored in the log 'room.7'" in unknown
    assert "A record stored in the log 'room.8'" in foreign
    assert found([]) == []


def test_a_backplane_that_does_not_answer_is_said(world: World) -> None:
    world.plane.fail("head", Fault.BEFORE)
    assert [one.id for one in found()] == ["via_state.W007"]
