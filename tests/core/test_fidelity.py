"""What is stored is compared with what was sent field by field, whatever the classes' own equality overlooks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest

from via_state.core.cells import CellCodec
from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.fidelity import difference
from via_state.core.nesting import is_deeper
from via_state.core.type_facts import equality_tells, may_be_deeper
from via_state.core.values import ValueCodec
from via_state.exceptions import EventRefused, ValueRefused

BERLIN = ZoneInfo("Europe/Berlin")
AUTUMN, SPRING = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)


class Folds:
    def fold(self, value: int) -> int:
        return value


@dataclass(frozen=True)
class Uncompared(Folds):
    what: Any = field(compare=False)


@dataclass(frozen=True, eq=False)
class WithoutEquality(Folds):
    what: Any


@dataclass(frozen=True)
class AlwaysEqual(Folds):
    what: Any

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@attrs.frozen(eq=False)
class Attrs(Folds):
    what: Any


@attrs.frozen
class AttrsUncompared(Folds):
    what: Any = attrs.field(eq=False)


class Struct(msgspec.Struct, frozen=True, eq=False):
    what: Any

    def fold(self, value: int) -> int:
        return value


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Size(StrEnum):
    S = "s"


@dataclass(frozen=True)
class Typed(Folds):
    at: datetime | None = None
    of_day: time | None = None
    ratio: float | None = None
    amount: Decimal | None = None
    color: Color | None = None
    level: Level | None = None
    size: Size | None = None
    items: frozenset[AlwaysEqual] = frozenset()
    nested: AlwaysEqual | None = None
    prices: dict[datetime, int] = field(default_factory=dict)
    id: UUID | None = None
    day: date | None = None
    pause: timedelta | None = None
    data: bytes = b""


LOSSY = [
    float("nan"),
    float("inf"),
    datetime(2026, 1, 1, tzinfo=UTC),
    date(2026, 1, 1),
    Decimal("1.5"),
    {1, 2},
    b"bytes",
    UUID(int=1),
    Color.RED,
    {1: "a"},
    AlwaysEqual(1),
    [float("nan")],
]


@pytest.mark.parametrize("event", [Uncompared, WithoutEquality, AlwaysEqual, Attrs, AttrsUncompared, Struct])
@pytest.mark.parametrize("what", LOSSY, ids=repr)
def test_what_would_come_back_as_something_else_is_refused_whatever_is_compared(
    event: type[Any], what: Any
) -> None:
    codec = EventCodec([EventType.of(event)])
    with pytest.raises(EventRefused, match="what"):
        codec.encode([event("fine"), event(what)])
    with pytest.raises(ValueRefused):
        CellCodec[Any](event).encode(event(what), write_id="w", writes=(), pause=0)
    with pytest.raises(ValueRefused):
        ValueCodec[Any](event).encode(event(what))


FAITHFUL = [
    Typed(at=AUTUMN),
    Typed(at=AUTUMN.replace(fold=1)),
    Typed(at=SPRING),
    Typed(at=SPRING.replace(fold=1)),
    Typed(at=datetime(2026, 10, 25, 2, 30, fold=1)),
    Typed(of_day=time(12, tzinfo=timezone(timedelta(hours=2)))),
    Typed(of_day=time(12, fold=1)),
    Typed(amount=Decimal("NaN")),
    Typed(amount=Decimal("sNaN")),
    Typed(amount=Decimal("1.00")),
    Typed(color=Color.RED, level=Level.LOW, size=Size.S),
    Typed(items=frozenset({AlwaysEqual(1)}), nested=AlwaysEqual([1, "x"])),
    Typed(prices={AUTUMN: 1, AUTUMN.replace(fold=1): 2}),
    Typed(id=UUID(int=1), day=date(2026, 1, 1), pause=timedelta(days=-1, microseconds=1), data=b"\0"),
    Typed(ratio=1),
]


@pytest.mark.parametrize("event", FAITHFUL, ids=repr)
def test_what_comes_back_the_same_is_taken_whatever_its_equality_says(event: Typed) -> None:
    codec = EventCodec([EventType.of(Typed)])
    (read,) = codec.decode(codec.encode([event]), 1).events
    assert difference(event, read) is None
    CellCodec[Any](Typed).encode(event, write_id="w", writes=(), pause=0)
    if event.ratio is None:
        ValueCodec[Any](Typed).encode(event)


@dataclass(frozen=True, eq=False)
class Heir(AlwaysEqual):
    more: int = 0


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Typed(of_day=time(12, tzinfo=BERLIN)), "the time zone of of_day would be lost"),
        (Typed(at=datetime(1880, 1, 1, tzinfo=BERLIN)), "at is"),
        (Typed(ratio=float("nan")), "ratio is"),
        (Typed(nested=Heir(1, 2)), "nested is"),
        (Typed(items=frozenset({Heir(1, 2)})), "item of items is"),
    ],
)
def test_what_equals_what_would_come_back_and_is_not_it_is_refused(event: Typed, says: str) -> None:
    with pytest.raises(EventRefused, match=says):
        EventCodec([EventType.of(Typed)]).encode([event])


# Nesting ----------------------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("limit", [1000, 3000])
def test_the_limit_of_nesting_is_the_same_under_every_limit_of_the_interpreter(limit: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        codec = EventCodec([EventType.of(WithoutEquality)])
        cell = CellCodec[Any](Any)
        codec.encode([WithoutEquality(nested(99))] * 3)  # the event itself is a level
        cell.encode(nested(100), write_id="w", writes=(), pause=0)
        ValueCodec[Any](Any).encode(nested(200))
        for levels in (100, 400, 900, 100_000):
            with pytest.raises(EventRefused, match="more than 100 levels"):
                codec.encode([WithoutEquality(1), WithoutEquality(nested(levels))])
            with pytest.raises(ValueRefused, match="more than 100 levels"):
                cell.encode(nested(levels + 1), write_id="w", writes=(), pause=0)
            with pytest.raises(ValueRefused, match="more than 200 levels"):
                ValueCodec[Any](Any).encode(nested(levels + 101))
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_texts_are_no_levels() -> None:
    assert not is_deeper(msgspec.json.encode(["[" * 500, '\\"[{' * 300, {"}]": "{"}]), 2)
    assert is_deeper(b"[[[]]]", 2)
    assert not is_deeper(b"[[],[],[]]", 2)


@dataclass
class Loose:
    value: Any
    tags: Any = ()


@pytest.mark.parametrize(
    ("sent", "read", "alike"),
    [
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), False),
        ({1, "a"}, {1, "a"}, True),
        ({object()}, {object()}, False),
    ],
)
def test_values_without_an_order_of_their_own_are_compared_by_what_is_stored(
    sent: object, read: object, alike: bool
) -> None:
    assert (difference(Loose(sent), Loose(read)) is None) is alike


@attrs.define
class Parts:
    pair: tuple[int, str]
    named: dict[str, Annotated[int, msgspec.Meta(ge=0, title="how many")]]


class Zoned(msgspec.Struct):
    at: tuple[int, time]


def test_what_a_type_tells_of_its_parts() -> None:
    assert equality_tells(Parts)
    assert not equality_tells(Zoned)
    assert may_be_deeper(Annotated[list[Any], msgspec.Meta(max_length=3)], 9)
    assert not may_be_deeper(Annotated[list[int], msgspec.Meta(max_length=3)], 9)
    assert may_be_deeper(Annotated[list[list[int]], msgspec.Meta(title="rows")], 1)
    assert not may_be_deeper(Annotated[list[list[int]], msgspec.Meta(title="rows")], 2)
