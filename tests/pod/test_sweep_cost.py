"""A sweep costs what moved: keys that nobody touched are not looked at, however many there are."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from django.test import override_settings

from tests.pod.board import Add, Board, Fragile, eventually, healed
from via_state.pod.pod import Pod
from via_state.pod.reading.cell_copy import CellCopy
from via_state.pod.reading.expiries import Expiries
from via_state.pod.reading.projector import Projector
from via_state.pod.reading.replica import Replica
from via_state.pod.reading.use_order import UseOrder

MANY = 50


async def sweeps(pod: Pod, number: int) -> None:
    """Return when the pod's keys were told of so many more sweeps."""
    told: list[object] = []
    moved = pod.replicas.moved

    async def noted(changes: Any, mark: object) -> None:
        await moved(changes, mark)
        told.append(changes)

    pod.replicas.moved = noted  # type: ignore[method-assign]
    for count in range(1, number + 1):
        pod.thread.soon(pod.reconciler.look)
        await eventually(lambda count=count: len(told) >= count, "the sweep")  # type: ignore[misc]
    pod.replicas.moved = moved  # type: ignore[method-assign]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often anybody asked a projection or a copy how it stands, by key."""
    found: Counter[str] = Counter()

    def watch(cls: type[Any], name: str) -> None:
        asked = getattr(cls, name).fget

        def counted(self: Any) -> Any:
            found[self.key] += 1
            return asked(self)

        monkeypatch.setattr(cls, name, property(counted))

    for cls in (Projector, CellCopy):
        for name in ("at", "loaded"):
            watch(cls, name)
    for name in ("task", "blank"):
        watch(Replica, name)
    watch(CellCopy, "expired")
    report = Projector.halt_report

    def reported(self: Projector[Any]) -> Any:
        found[self.key] += 1
        return report(self)

    monkeypatch.setattr(Projector, "halt_report", reported)
    return found


async def test_a_sweep_looks_at_what_moved_and_not_at_what_is_there(
    pod: Pod, peer: Pod, looks: Counter[str]
) -> None:
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 3600.0}):
        for number in range(MANY):
            await Board.room.at(room=number).using(pod).aappend(Add(number))
            assert await Board.room.at(room=number).using(pod).aread() == [number]
            await Board.flag.at(name=number).using(pod).aset(True)
        await pod.adrain()  # what was written is loaded
        await sweeps(pod, 2)
        await pod.adrain()
        looks.clear()
        await Board.room.at(room=1).using(peer).aappend(Add(1))
        await Board.flag.at(name=1).using(peer).aset(False)
        await sweeps(pod, 2)
        await pod.thread.acall(pod._list_halts())
        found = set(looks)
        assert "tests.room.1" in found
        assert found <= {"tests.room.1", "tests.flag.1"}, "these moved"


async def test_what_moved_here_is_compared_with_a_sweep_once(pod: Pod) -> None:
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 3600.0}):
        await Board.room.at(room=1).using(pod).aappend(Add(1))
        await Board.room.at(room=1).using(pod).aread()
        await sweeps(pod, 3)
        await pod.adrain()
        assert not pod.replicas._movers


class Thing:
    def __init__(self, used: float, *, blank: bool = False, expires: float = 0.0) -> None:
        self.used, self.blank, self.expires, self.busy = used, blank, expires, False


def gone(order: UseOrder[Thing], unwritten: float, written: float) -> list[Thing]:
    return list(order.oldest(unwritten, written, lambda one: not one.busy))


def test_those_leave_first_that_were_not_used_for_longest() -> None:
    order: UseOrder[Thing] = UseOrder()
    things = [Thing(float(number)) for number in range(5)]
    blank = [Thing(float(number), blank=True) for number in range(3, 5)]
    for one in (*things, *blank):
        order.add(one)
    things[0].used = 10.0
    things[1].busy = True
    assert gone(order, 4.0, 3.0) == [blank[0], things[2]]
    assert gone(order, 4.0, 4.0) == [things[3]]
    things[1].busy = False
    assert things[1] not in gone(order, 100.0, 100.0), "who may not leave counts as used at that moment"
    assert gone(order, float("inf"), float("inf")) == [things[1]]


def test_a_key_leaves_once_and_not_after_it_was_dropped() -> None:
    order: UseOrder[Thing] = UseOrder()
    one, other = Thing(1.0), Thing(2.0)
    order.add(one)
    order.add(other)
    order.discard(other)
    assert gone(order, 5.0, 5.0) == [one]
    assert gone(order, 5.0, 5.0) == []


def test_a_key_under_which_nothing_is_any_more_leaves_as_one_that_was_never_written() -> None:
    order: UseOrder[Thing] = UseOrder()
    one = Thing(1.0)
    order.add(one)
    assert gone(order, 5.0, 0.0) == []
    one.blank = True
    assert gone(order, 5.0, 0.0) == []
    order.add(one)
    assert gone(order, 5.0, 0.0) == [one]


def test_values_are_given_once_when_they_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.4
    monkeypatch.setattr(time, "monotonic", lambda: now)
    expiries: Expiries[Thing] = Expiries()
    soon, later, renewed, never = (Thing(0.0, expires=at) for at in (100.7, 103.2, 100.6, float("inf")))
    for one in (soon, later, renewed, never):
        expiries.put(one)
    assert expiries.take() == []
    renewed.expires = 105.0
    expiries.put(renewed)
    now = 100.8
    assert expiries.take() == [soon]
    assert expiries.take() == []
    expiries.discard(later)
    now = 110.0
    assert expiries.take() == [renewed]
    assert expiries.take() == []
    late = Thing(0.0, expires=50.0)
    expiries.put(late)
    assert expiries.take() == [late], "it had expired before anybody said so"


async def test_a_projection_that_is_in_trouble_is_listed_while_it_is(pod: Pod) -> None:
    await Board.fragile.using(pod).aread()
    assert pod.replicas.troubled() == []
    await Board.fragile.using(pod).aappend(Fragile(-1), wait=False)
    await eventually(lambda: [one.key for one in pod.replicas.troubled()] == ["tests.fragile"], "the halt")
    healed.append(True)
    pod.thread.soon(pod.replicas.logs()[0].flight.wake)
    await eventually(lambda: pod.replicas.troubled() == [], "the end of the halt")
