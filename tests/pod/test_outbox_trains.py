"""The relay of the outbox: records of many keys, which travel together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.relay import left_by_a_killed_process, limit, numbers_in, records, relaying, rooms, waiting
from tests.pod.world import World
from via_state.bookkeeping.database import outbox as rows
from via_state.exceptions import BackplaneUnavailable
from via_state.models import OutboxRecord

pytestmark = [
    pytest.mark.usefixtures("postgres", "nats"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


@pytest.fixture(params=["postgres", "nats"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with relaying(request.param) as world:
        yield world


def test_records_of_many_keys_travel_together_and_those_of_each_in_order(world: World) -> None:
    keys = rooms(20)
    for number in range(3):
        for key in keys:
            left_by_a_killed_process(world, number, key=key)
    world.start().drain()
    for key in keys:
        assert numbers_in(world, key) == [0, 1, 2]
    assert world.plane.calls["append_many"] == 1
    assert "append" not in world.plane.calls
    assert records(world) == []


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.BEFORE])
def test_of_many_keys_whose_fate_is_unknown_each_record_is_appended_once(world: World, fault: Fault) -> None:
    keys = rooms(20)
    for number in range(2):
        for key in keys:
            left_by_a_killed_process(world, number, key=key)
    world.plane.fail("append_many", fault)
    world.start()
    wait_until(lambda: waiting(world) == 0, "the relay")
    for key in keys:
        assert numbers_in(world, key) == [0, 1]
    assert records(world) == []


def test_what_was_appended_of_many_keys_and_not_removed_is_found_by_another_pod(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, remove = rooms(5), rows.remove
    for key in keys:
        left_by_a_killed_process(world, 1, 2, key=key)
    died = threading.Event()

    def die(*_: Any) -> None:
        died.set()
        raise BackplaneUnavailable("killed before the rows were removed")

    monkeypatch.setattr(rows, "remove", die)
    first = world.start()
    assert died.wait(60)
    world.kill(first)
    monkeypatch.setattr(rows, "remove", remove)
    ids = {one.batch for one in records(world) if one.members}
    assert len(ids) == len(keys), "each append has an id of its own"
    for key in keys:
        left_by_a_killed_process(world, 3, key=key)
    world.start().drain()
    for key in keys:
        assert numbers_in(world, key) == [1, 2, 3]


def test_one_key_among_many_that_can_never_be_appended_to_holds_up_no_other(world: World) -> None:
    keys = rooms(5)
    for key in keys:
        left_by_a_killed_process(world, 1, key=key)
    rows.add(keys[2], 1, b'[["Add",1,{"number":2,"padding":"' + b"x" * 5000 + b'"}]]')
    for key in keys:
        left_by_a_killed_process(world, 3, key=key)
    if world.kind == "nats":
        world.run(limit(world))
    else:
        world.inner.max_append_bytes = 4000
    world.start().drain()
    for key in keys:
        assert numbers_in(world, key) == [1, 3]
    (aside,) = records(world)
    assert (aside.key, aside.status) == (keys[2], OutboxRecord.Status.ASIDE)
