"""The stored form of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from via_state.core.cells import CellCodec, Holds, encode_nothing
from via_state.exceptions import CellFromNewerVersion, CellUnreadable, ValueRefused


@dataclass
class Profile:
    name: str = ""
    scores: dict[int, float] = field(default_factory=dict)
    boss: Profile | None = None


@dataclass
class Admin(Profile):
    password: str = ""


class Theme(msgspec.Struct):
    dark: bool = False


class Pair(NamedTuple):
    one: int
    other: int = 0


def store(value_type: Any, value: Any, version: int = 1) -> bytes:
    return CellCodec[Any](value_type, version).encode(value, write_id="w", writes=(), pause=0)


text = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
profiles = st.builds(
    Profile, text, st.dictionaries(st.integers(), finite, max_size=3), st.none() | st.builds(Profile, text)
)
typed = st.one_of(
    st.tuples(st.just(str), text),
    st.tuples(st.just(int), st.integers()),
    st.tuples(st.just(int | None), st.none() | st.integers()),
    st.tuples(st.just(float), finite),
    st.tuples(st.just(bytes), st.binary()),
    st.tuples(st.just(list[str]), st.lists(text)),
    st.tuples(st.just(set[int]), st.sets(st.integers())),
    st.tuples(st.just(dict), st.dictionaries(text, st.lists(st.integers()))),
    st.tuples(st.just(Profile), profiles),
    st.tuples(st.just(Theme), st.builds(Theme, st.booleans())),
)


@settings(max_examples=200, deadline=None)
@given(typed, st.integers(1, 9))
def test_a_stored_value_is_read_again(case: tuple[Any, Any], version: int) -> None:
    value_type, value = case
    state = CellCodec[Any](value_type, version).decode(store(value_type, value, version))
    assert (state.value, type(state.value)) == (value, type(value))
    assert (state.version, state.holds) == (version, Holds.VALUE)
    assert state.writes == (("", 0), ("w", 0))


@pytest.mark.parametrize(
    ("value_type", "value", "says"),
    [
        (str, 7, "7 is not stored as str: Expected `str`, got `int`"),
        (int, None, "Expected `int`, got `null`"),
        (int, 1.5, "got `float`"),
        (int, True, "got `bool`"),
        (str, "\ud800", "surrogates not allowed"),
        (float, math.nan, "got `null`"),
        (float | None, math.inf, "it is inf and would come back as None"),
        (dict, {"a": [math.nan]}, r"\['a'\]\[0\] is nan"),
        (dict, {1: "a"}, "would come back as {'1': 'a'}"),
        (dict, {"a": object()}, "type object have no place in JSON"),
        (list, [Theme()], r"\[0\] is Theme"),
        (list, {1, 2}, "it is {1, 2}"),
        (Profile, {"name": "ann"}, "it is {'name': 'ann'}"),
        (Profile, Admin("ann", password="secret"), "would come back as Profile"),
        (Profile, Profile("ann", boss=Profile(7)), r"got `int` - at `\$.boss.name`"),  # type: ignore[arg-type]
        (Theme, Profile(), "would come back as Theme"),
        (Pair, (1,), r"it is \(1,\) and would come back as Pair"),
    ],
)
def test_a_value_that_would_come_back_as_another_is_refused(
    value_type: Any, value: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("via_state.core.text.show_values", lambda: True)
    with pytest.raises(ValueRefused, match=says):
        store(value_type, value)


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value_type", "value", "read"), [(float, 3, 3.0), (list, (1, 2), [1, 2]), (str, Name("a"), "a")]
)
def test_values_that_json_does_not_tell_apart_are_stored(value_type: Any, value: Any, read: Any) -> None:
    found = CellCodec[Any](value_type).decode(store(value_type, value)).value
    assert (found, type(found)) == (read, value_type)


def test_a_value_of_newer_code_is_not_read() -> None:
    with pytest.raises(CellFromNewerVersion, match="version 3 of its declaration, this code has 2"):
        CellCodec[int](int, version=2).decode(store(int, 1, version=3))


def test_a_value_of_older_code_is_read_as_the_type_is_now() -> None:
    state = CellCodec[float](float, version=2).decode(store(int, 1))
    assert (state.value, state.version) == (1.0, 1)


@pytest.mark.parametrize("holds", [Holds.RESET, Holds.ENDED])
def test_what_holds_no_value_is_read_by_every_version_and_keeps_its_writes(holds: Holds) -> None:
    data = encode_nothing(holds, write_id="b", writes=[("a", 0)], pause=3.7)
    state = CellCodec[Any](int, version=1).decode(data)
    assert state.holds is holds
    assert state.value is None
    assert state.writes == (("a", 0), ("b", 3))


@pytest.mark.parametrize("data", [b"", b"null", b"7", b"{}", b"[]", b'[1,0,[],false,"x"', b"\xff", b'"text"'])
def test_what_is_no_cell_is_unreadable(data: bytes) -> None:
    with pytest.raises(CellUnreadable, match="not a cell of via_state"):
        CellCodec[Any](str).decode(data)


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_no_data_raises_anything_else(data: bytes) -> None:
    with pytest.raises(CellUnreadable):
        CellCodec[Any](str).decode(data)


def test_a_value_that_no_longer_decodes_says_what_to_do() -> None:
    with pytest.raises(CellUnreadable, match=r"does not decode as int .* reset\(force=True\)"):
        CellCodec[int](int).decode(store(str, "seven"))


def test_a_type_that_raises_makes_the_value_unreadable() -> None:
    @dataclass
    class Picky:
        number: int

        def __post_init__(self) -> None:
            if self.number < 0:
                raise KeyError(self.number)

    with pytest.raises(CellUnreadable, match="does not decode as Picky"):
        CellCodec[Picky](Picky).decode(store(dict, {"number": -1}))
    picky = Picky(1)
    picky.number = -1
    with pytest.raises(ValueRefused, match="is not stored as Picky"):
        store(Picky, picky)
