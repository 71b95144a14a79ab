"""Events that are stored without being read back as proof would have come back the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.exact import exact
from via_state.core.fidelity import difference
from via_state.core.metadata import Metadata
from via_state.exceptions import EventRefused


class Folds:
    def fold(self, value: int) -> int:
        return value


class Struct(msgspec.Struct):
    def fold(self, value: int) -> int:
        return value


class Nothing(Struct):
    pass


class Fields(Struct, rename="camel"):
    a_text: str
    a_number: int | None = None
    a_float: float = 0.0
    a_switch: bool = False


@dataclass(frozen=True, slots=True)
class Slots(Folds):
    a_text: Any | str
    a_number: int | float


@dataclass
class Plain(Folds):
    a_text: str
    a_number: int | None = None


@dataclass
class Empty(Folds):
    pass


@dataclass
class Alone(Folds):
    a_float: float


class Ranged(Struct):
    a_number: Annotated[int, msgspec.Meta(ge=1)]


class Chosen(Struct):
    a_text: Literal["a", "b"]


class Nested(Struct):
    inner: Fields


@dataclass
class Judging(Folds):
    a_number: int

    def __post_init__(self) -> None:
        self.a_number = abs(self.a_number)


@dataclass
class Hidden(Folds):
    _a_number: int


@dataclass
class Made(Folds):
    a_number: int = field(default=1, init=False)


@dataclass
class Lying(Folds):
    a_number: int

    def __getattribute__(self, name: str) -> Any:
        return 1 if name == "a_number" else super().__getattribute__(name)


@attrs.define
class Attrs(Folds):
    a_number: int


class Text(str):
    __slots__ = ()


VALUES: tuple[Any, ...] = (
    *(0, 1, -1, True, False, None, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 2**200),
    *(0.0, -0.0, 1.5, 1e308, 5e-324, math.nan, math.inf, -math.inf),
    *("", "x", "\0", "ü𝄞", "\ud800", b"x", [], {}, object(), Text("x")),
)


@pytest.mark.parametrize("cls", [Ranged, Chosen, Nested, Judging, Hidden, Made, Lying, Attrs, Slots])
def test_where_more_than_the_types_counts_each_event_is_read_back(cls: type[Any]) -> None:
    assert exact(cls) is None


@pytest.mark.parametrize("cls", [Fields, Plain, Alone])
def test_what_is_not_read_back_would_have_come_back_the_same(cls: type[Any]) -> None:
    check, proven = exact(cls), 0
    assert check is not None
    width = min(2, len(msgspec.inspect.type_info(cls).fields))  # type: ignore[attr-defined]
    for first in VALUES:
        for second in VALUES:
            event = cls(*(first, second)[:width])
            if not check(event):
                continue
            try:
                data = msgspec.json.encode(event)
            except UnicodeEncodeError:
                continue  # it is refused before that
            assert difference(event, msgspec.json.decode(data, type=cls)) is None
            proven += 1
    assert proven > 5


@pytest.mark.parametrize("cls", [Nothing, Empty])
def test_a_class_without_fields_loses_nothing(cls: type[Any]) -> None:
    check = exact(cls)
    assert check is not None
    assert check(cls())


def test_an_object_with_something_undeclared_is_read_back() -> None:
    check = exact(Plain)
    assert check is not None
    event = Plain("x")
    assert check(event)
    event.__dict__["more"] = [1]
    assert not check(event)


@pytest.mark.parametrize("metadata", [None, Metadata(time=1)])
@pytest.mark.parametrize("events", [1, 3])
def test_a_codec_refuses_and_stores_the_same_with_and_without_it(metadata: Metadata | None, events: int) -> None:
    quick, slow = (EventCodec([EventType.of(Fields)]) for _ in range(2))
    slow._exact = {Fields: None}

    def stored(codec: EventCodec, value: Any) -> object:
        try:
            return codec.encode([*[Fields("x")] * (events - 1), Fields("y", value, value)], metadata)
        except EventRefused as error:
            return str(error)

    found = [(stored(quick, value), stored(slow, value)) for value in VALUES]
    assert all(one == other for one, other in found)
    assert {type(one) for one, _ in found} == {bytes, str}
