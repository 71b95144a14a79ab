"""Everyday edits of an event class: whatever a deploy can't read is neither lost nor discarded, and going back brings it back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import KEY, World, declared, world_of
from via_state.bookkeeping import snapshots as snapshots_port
from via_state.core.specs import LogSpec
from via_state.exceptions import KeyHalted

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


@dataclass(frozen=True)
class Paid:
    amount: int
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount


class Edited:
    event_name = "Paid"


@dataclass(frozen=True)
class AnOptionalField(Edited):
    amount: int
    note: str = ""
    currency: str = "EUR"

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class AFieldLess(Edited):
    amount: int

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class AWiderType(Edited):
    amount: int | str
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount  # type: ignore[operator]


@dataclass(frozen=True)
class ARequiredField(Edited):
    amount: int
    currency: str
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class ARenamedField(Edited):
    cents: int
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.cents


@dataclass(frozen=True)
class AnotherType(Edited):
    amount: str
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount  # type: ignore[operator]


@dataclass(frozen=True)
class ANarrowerType(Edited):
    amount: Annotated[int, msgspec.Meta(ge=10)]
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class ARefusal(Edited):
    amount: int
    note: str = ""

    def __post_init__(self) -> None:
        if self.amount < 10:
            raise ValueError("too small")

    def fold(self, total: int) -> int:
        return total + self.amount


class NoOtherFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event_name = "Paid"
    amount: int

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class ARenamedClass:
    amount: int
    note: str = ""

    def fold(self, total: int) -> int:
        return total + self.amount


@dataclass(frozen=True)
class AVersionWithoutUpcaster(Edited):
    amount: int
    note: str = ""
    event_version = 2

    def fold(self, total: int) -> int:
        return total + self.amount


class Edit(NamedTuple):
    """``shown`` is the value while the new code runs. ``halts``: where records were discarded it can't continue."""

    event: type[Any]
    shown: int
    halts: bool = False


#: Of 1 + 2 + 100, which the old code has folded, and 3 + 200 after them.
EDITS = [
    Edit(AnOptionalField, 306),
    Edit(AFieldLess, 306),
    Edit(AWiderType, 306),
    Edit(ARequiredField, 103),
    Edit(ARenamedField, 0, halts=True),
    Edit(AnotherType, 103),
    Edit(ANarrowerType, 303),
    Edit(ARefusal, 303),
    Edit(NoOtherFields, 103),
    Edit(ARenamedClass, 0, halts=True),
    Edit(AVersionWithoutUpcaster, 103),
]


@pytest.fixture
def world(request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    if kind != "memory":
        request.getfixturevalue("postgres")
    if kind == "nats":
        request.getfixturevalue("nats")
        request.getfixturevalue("transactional_db")
    with world_of(kind) as made:
        yield made


CASES = [
    *(("memory", edit, whole) for edit in EDITS for whole in (True, False)),
    *(("postgres", edit, False) for edit in (EDITS[0], EDITS[3], EDITS[7])),
    *(("nats", edit, False) for edit in (EDITS[3], EDITS[7])),
]


def waiting(world: World, spec: LogSpec[Any], *amounts: int) -> None:
    """Records that nobody has folded."""
    data = spec.events.encode([Paid(amount) for amount in amounts])
    world.run(world.plane.append(KEY, uuid.uuid4().hex, len(amounts), data))


def compact(world: World, pod: Any, spec: LogSpec[Any]) -> None:
    """What ``manage.py compact_state`` does."""
    epoch = world.head().position.epoch
    pin = world.run(pod.snapshots.decide(KEY, epoch, spec))
    if pin.offset:
        world.run(world.plane.compact(KEY, pin.offset, epoch))


@pytest.mark.parametrize(
    ("kind", "edit", "whole"),
    CASES,
    ids=[f"{kind}-{edit.event.__name__}-{'whole' if whole else 'compacted'}" for kind, edit, whole in CASES],
)
def test_an_edit_that_is_taken_back_has_lost_nothing(world: World, edit: Edit, whole: bool) -> None:
    old = declared(Paid, compact=not whole)
    pod = world.start()
    for amount in (1, 2, 100):
        world.append(pod, old, Paid(amount))
    world.stop(pod)
    assert (world.head().floor.offset == 0) is whole
    waiting(world, old, 3, 200)

    new = declared(edit.event)
    pod = world.start()
    if whole or not edit.halts:
        shown = pod.read(KEY, new)
        assert shown == edit.shown
        (projector,) = pod.replicas.logs()
        trouble = projector.halt_report()
        assert (trouble is None) is (edit.shown == 306), trouble
    else:
        with pytest.raises(KeyHalted, match=r"the fold of Paid changed|the event Paid is gone"):
            pod.read(KEY, new)
    for _ in range(3):
        world.flush(pod)
        compact(world, pod, new)
    world.stop(pod)
    pod = world.start()
    compact(world, pod, new)
    world.stop(pod)

    back = world.start()
    assert back.read(KEY, old) == 306
    world.append(back, old, Paid(1))
    assert world.restart(back).read(KEY, old) == 307
