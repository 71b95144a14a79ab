"""Packs of events: what is written is read again, and what can't be read says why."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec, Unreadable, join_packs
from via_state.core.offsets import Offset
from via_state.exceptions import DeclarationError, EventRefused


class Fold:
    """What every event here does."""

    def fold(self, value: int) -> int:
        return value + 1


class Color(enum.Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: float = 0.0


class Everything(msgspec.Struct, frozen=True):
    event_name = "everything"
    aliases = ("All", "Alles")

    text: str
    number: int
    share: float | None
    raw: bytes
    moment: datetime
    price: Decimal
    id: uuid.UUID
    color: Color
    points: list[Point]
    by_number: dict[int, str]
    loose: Any
    tags: frozenset[str] = frozenset()

    fold = Fold.fold


@dataclass(frozen=True, slots=True)
class Posted(Fold):
    event_version: ClassVar[int] = 3
    event_upcasters: ClassVar[dict[int, Any]] = {
        1: lambda payload: {"text": payload["body"]},
        2: lambda payload: {"text": payload["text"].upper()},
    }

    text: str


@attrs.frozen
class Left(Fold):
    who: str
    when: int = 0


@dataclass(eq=False)
class Faceless(Fold):
    value: float
    loose: Any = None


CODEC = EventCodec([EventType.of(one) for one in (Everything, Posted, Left, Faceless)], retired=["Removed"])

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
everything = st.builds(
    Everything,
    text=text,
    number=st.integers(),
    share=st.none() | finite,
    raw=st.binary(),
    moment=st.datetimes(timezones=st.none() | st.just(UTC)),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    id=st.uuids(),
    color=st.sampled_from(Color),
    points=st.lists(st.builds(Point, st.integers(), finite), max_size=3),
    by_number=st.dictionaries(st.integers(), text, max_size=3),
    loose=json,
    tags=st.frozensets(text, max_size=3),
)
events = st.one_of(everything, st.builds(Posted, text), st.builds(Left, text, st.integers()))


@settings(max_examples=150, deadline=None)
@given(st.lists(events, min_size=1, max_size=6))
def test_what_is_encoded_decodes_to_the_same_events(sent: list[Any]) -> None:
    decoded = CODEC.decode(CODEC.encode(sent), len(sent))
    assert decoded.clean
    assert decoded.events == sent


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(events, min_size=1, max_size=3), min_size=1, max_size=4))
def test_joined_packs_hold_the_records_of_all_in_order(sent: list[list[Any]]) -> None:
    flat = [event for pack in sent for event in pack]
    assert CODEC.decode(join_packs([CODEC.encode(pack) for pack in sent]), len(flat)).events == flat


@settings(max_examples=300, deadline=None)
@given(st.binary() | json.map(msgspec.json.encode), st.integers(0, 4))
def test_no_data_breaks_the_decoder_and_every_record_has_an_answer(data: bytes, count: int) -> None:
    assert len(CODEC.decode(data, count).events) == count


@settings(max_examples=100, deadline=None)
@given(st.lists(events, min_size=1, max_size=3), st.data())
def test_a_damaged_pack_gives_an_answer_for_each_record(sent: list[Any], data: st.DataObject) -> None:
    whole = CODEC.encode(sent)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    assert len(CODEC.decode(damaged, len(sent)).events) == len(sent)


def test_the_stored_form_is_an_array_of_name_version_and_payload() -> None:
    assert CODEC.encode([Posted("hi"), Posted("yo")]) == b'[["Posted",3,{"text":"hi"}],["Posted",3,{"text":"yo"}]]'


# Reading ------------------------------------------------------------------------------------------------------


def decode(*records: str) -> list[Any]:
    return CODEC.decode(f"[{','.join(records)}]".encode(), len(records)).events


GOOD = '["Left",1,{"who":"ann"}]'


@pytest.mark.parametrize(
    ("record", "reads"),
    [
        ('["Posted",1,{"body":"hi"}]', Posted("HI")),
        ('["Posted",2,{"text":"hi"}]', Posted("HI")),
        ('["Posted",3,{"text":"hi"}]', Posted("hi")),
        ('["Posted",3,{"text":"hi","later":true}]', Posted("hi")),
        ('["Posted",3,{"text":"hi"},"later"]', Posted("hi")),
        ('["Posted",4,{"text":"hi"}]', Unreadable.NEWER),
        ('["Posted",4,"whatever"]', Unreadable.NEWER),
        ('["Posted",0,{"text":"hi"}]', Unreadable.UNDECODABLE),
        ('["Posted",-1,{"text":"hi"}]', Unreadable.UNDECODABLE),
        ('["Posted",1,{"text":"hi"}]', Unreadable.UNDECODABLE),
        ('["Posted",2,{"text":7}]', Unreadable.UNDECODABLE),
        ('["Posted",3,{"text":7}]', Unreadable.UNDECODABLE),
        ('["Posted",3]', Unreadable.UNDECODABLE),
        ('["Posted","3",{"text":"hi"}]', Unreadable.UNDECODABLE),
        ("[3,3,{}]", Unreadable.UNDECODABLE),
        ("[]", Unreadable.UNDECODABLE),
        ("null", Unreadable.UNDECODABLE),
        ('{"name":"Posted"}', Unreadable.UNDECODABLE),
        ('["posted",3,{"text":"hi"}]', Unreadable.UNKNOWN),
        ('["Everything",1,{}]', Unreadable.UNKNOWN),
        ('["Removed",1,{}]', Unreadable.RETIRED),
        ('["Removed",99,null]', Unreadable.RETIRED),
    ],
)
def test_each_record_is_read_for_what_it_is_whatever_stands_around_it(record: str, reads: Any) -> None:
    assert decode(GOOD, record, GOOD) == [Left("ann"), reads, Left("ann")]


def test_aliases_read_and_are_never_written() -> None:
    stored = CODEC.encode(
        [Everything("", 1, None, b"", datetime.now(UTC), Decimal(1), uuid.uuid4(), Color.RED, [], {}, 0)]
    )
    assert stored.startswith(b'[["everything",1,')
    for alias in (b"All", b"Alles"):
        decoded = CODEC.decode(stored.replace(b"everything", alias, 1), 1)
        assert decoded.clean
        assert isinstance(decoded.events[0], Everything)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[", f"[{GOOD}".encode(), f"[{GOOD},{GOOD}]".encode(), b"[]"]
)
def test_a_pack_that_does_not_hold_its_count_is_undecodable_as_a_whole(data: bytes) -> None:
    assert CODEC.decode(data, 3).events == [Unreadable.UNDECODABLE] * 3


def test_an_upcaster_or_a_class_that_raises_costs_its_record_only() -> None:
    @dataclass
    class Picky(Fold):
        event_version: ClassVar[int] = 2
        event_upcasters: ClassVar[dict[int, Any]] = {1: lambda payload: 1 / 0}
        number: int

        def __post_init__(self) -> None:
            if self.number < 0:
                raise KeyError(self.number)

    codec = EventCodec([EventType.of(Picky)])
    data = b'[["Picky",2,{"number":1}],["Picky",2,{"number":-1}],["Picky",1,{}],["Picky",2,{"number":2}]]'
    undecodable = Unreadable.UNDECODABLE
    assert codec.decode(data, 4).events == [Picky(1), undecodable, undecodable, Picky(2)]


# Writing ------------------------------------------------------------------------------------------------------


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Share(float):
    pass


def test_subclasses_of_builtins_are_stored_as_those() -> None:
    sent = [Left(Text("<b>"), Offset(7, "epoch")), Faceless(Share(0.5), {"n": Number(3)})]
    left, faceless = CODEC.decode(CODEC.encode(sent), 2).events
    assert left == Left("<b>", 7)
    assert (type(left.who), type(left.when), faceless.value) == (str, int, 0.5)


@pytest.mark.parametrize(
    ("sent", "same"),
    [(Faceless(3), 3.0), (Faceless(1.0, (1, [2])), 1.0), (Faceless(1.0, {"a": [1]}), 1.0)],
)
def test_an_event_without_equality_is_compared_by_its_fields(sent: Faceless, same: float) -> None:
    assert CODEC.decode(CODEC.encode([sent]), 1).events[0].value == same


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Posted(7), r"Posted can't be stored: Expected `str`, got `int` - at `\$.text`"),  # type: ignore[arg-type]
        (Posted(None), "Expected `str`, got `null`"),  # type: ignore[arg-type]
        (Posted("\ud800"), "surrogates not allowed"),
        (Left("ann", 1.5), "Expected `int`, got `float`"),  # type: ignore[arg-type]
        (Left("ann", object()), "type object have no place in JSON"),  # type: ignore[arg-type]
        (Faceless(math.nan), "Faceless can't be stored"),
        (Faceless(1.0, math.inf), "loose is inf and would come back as None"),
        (Faceless(1.0, {"a": [1, math.nan]}), r"loose\['a'\]\[1\] is nan and would come back as None"),
        (Faceless(1.0, {1: "a"}), r"loose is \{1: 'a'\} and would come back as \{'1': 'a'\}"),
        (Faceless(1.0, datetime(2020, 1, 1)), "loose is datetime"),
        (Faceless(1.0, [Point(1)]), r"loose\[0\] is Point"),
        (Faceless(1.0, Color.RED), "loose is <Color.RED"),
        (Faceless(1.0, {1, 2}), "loose is {1, 2}"),
        (Point(1), "Point is not declared for this log. Append one of: Everything, Posted, Left, Faceless."),
        ("text", "str is not declared for this log"),
        (None, "NoneType is not declared"),
    ],
)
def test_an_event_that_would_not_come_back_is_refused_with_the_field(
    event: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("via_state.core.text.show_values", lambda: True)
    with pytest.raises(EventRefused, match=says):
        CODEC.encode([Left("ann"), event, Left("bob")])


def test_a_subclass_of_an_event_is_another_event() -> None:
    @dataclass(frozen=True, slots=True)
    class Reposted(Posted):
        by: str = ""

    with pytest.raises(EventRefused, match="Reposted is not declared"):
        CODEC.encode([Reposted("hi", "ann")])


def test_nothing_to_append_is_refused() -> None:
    with pytest.raises(EventRefused, match="at least one event"):
        CODEC.encode([])


def test_what_is_nested_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for loose in (endless, deep):
        with pytest.raises(EventRefused, match="can't be stored"):
            CODEC.encode([Faceless(1.0, loose)])


def test_an_event_that_makes_a_field_again_when_it_is_read_is_refused() -> None:
    numbers = itertools.count()

    @dataclass
    class Stamped(Fold):
        text: str
        stamp: int = field(init=False)

        def __post_init__(self) -> None:
            self.stamp = next(numbers)

    with pytest.raises(EventRefused, match="stamp is a value of type int and would come back as"):
        EventCodec([EventType.of(Stamped)]).encode([Stamped("a")])


def test_an_equality_that_raises_refuses_nothing() -> None:
    @dataclass(eq=False)
    class Touchy(Fold):
        number: int

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    codec = EventCodec([EventType.of(Touchy)])
    assert codec.decode(codec.encode([Touchy(7)]), 1).events[0].number == 7


# Declaring ----------------------------------------------------------------------------------------------------


@dataclass
class First(Fold):
    event_name: ClassVar[str] = "Entry"


@dataclass
class Second(Fold):
    aliases: ClassVar[tuple[str, ...]] = ("Entry", "Second")


@pytest.mark.parametrize(
    ("classes", "retired", "says"),
    [
        ([First, Second], [], "'Entry' is claimed by Second and by First. Set event_name"),
        ([First, First], [], "list each class once"),
        ([First], ["Entry"], "it is in retired="),
        ([], [], "at least one event class"),
    ],
)
def test_a_stored_name_belongs_to_one_class(classes: list[type], retired: list[str], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        EventCodec([EventType.of(one) for one in classes], retired)


def test_a_class_may_name_its_own_name_among_its_aliases() -> None:
    assert EventCodec([EventType.of(Second)]).decode(b'[["Entry",1,{}],["Second",1,{}]]', 2).clean


def test_a_class_whose_fields_do_not_resolve_is_refused_with_its_name() -> None:
    broken = dataclasses.make_dataclass("Broken", [("x", "Nowhere")], bases=(Fold,))
    with pytest.raises(DeclarationError, match="Broken can't be decoded: name 'Nowhere' is not defined"):
        EventCodec([EventType.of(broken)])
