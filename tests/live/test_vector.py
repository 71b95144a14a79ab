"""Position vectors compare as the histories do that they stand for."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.live.vectors import CASES
from via_state.core.records import GENESIS, Position, Revision
from via_state.live.protocol.vector import ABSENT, Order, Place, Vector, compare, covers, dumps, order

offsets = st.integers(0, 4)
positions = st.builds(Position, st.sampled_from(["e1", "e2"]), offsets, st.sampled_from(["r1-0", "r2-0"])).map(
    lambda one: one if one.offset else one._replace(record_id="")
)
logs = (positions | st.just(GENESIS)).map(Place.of_log)
revisions = st.builds(Revision, st.integers(1, 4), st.sampled_from(["w1", "w2"])) | st.none()
cells = revisions.map(Place.of_cell)
pairs = st.tuples(logs, logs) | st.tuples(cells, cells)
vectors = st.dictionaries(st.sampled_from("abc"), logs, max_size=3)
anything = st.builds(Place, st.text(max_size=2), st.integers(0, 3), st.text(max_size=2))
MIRROR = {Order.SAME: Order.SAME, Order.BEHIND: Order.AHEAD, Order.AHEAD: Order.BEHIND, Order.OTHER: Order.OTHER}


@given(pairs | st.tuples(anything, anything))
def test_two_places_compare_in_any_case_and_in_both_directions(pair: tuple[Place, Place]) -> None:
    one, other = pair

    assert order(other, one) == MIRROR[order(one, other)]
    assert order(one, one) is Order.SAME


@given(st.lists(st.integers(1, 50), min_size=3, max_size=3))
def test_within_a_history_the_offset_decides(numbers: list[int]) -> None:
    one, two, three = (Place.of_log(Position("e", n, f"r-{n}")) for n in sorted(numbers))

    assert order(one, two) in (Order.SAME, Order.BEHIND)
    assert max(order(one, two), order(two, three)) == order(one, three)


def test_an_equal_offset_with_another_record_is_a_restored_log() -> None:
    shown, here = Place.of_log(Position("e", 7, "a-0")), Place.of_log(Position("e", 7, "b-0"))

    assert order(shown, here) is Order.OTHER


def test_records_of_one_append_are_told_apart() -> None:
    one, other = (Place.of_log(Position("e", 7, f"{'0' * 32}-{n}")) for n in (1, 11))

    assert one.record != other.record


@given(positions)
def test_the_beginning_is_before_everything(position: Position) -> None:
    assert order(Place.of_log(GENESIS), Place.of_log(position)) in (Order.SAME, Order.BEHIND)


@given(revisions.filter(bool))
def test_a_cell_without_a_value_is_neither_before_nor_after_one(revision: Revision) -> None:
    assert order(Place.of_cell(revision), ABSENT) is Order.OTHER
    assert order(ABSENT, ABSENT) is Order.SAME


@given(vectors, vectors)
def test_a_vector_compares_as_its_worst_key(shown: Vector, here: Vector) -> None:
    found = compare(shown, here)

    expected = [order(shown[key], here[key]) for key in shown.keys() & here.keys()]
    expected += [Order.OTHER] * (shown.keys() != here.keys())
    assert found == max(expected, default=Order.SAME)
    assert (found is Order.AHEAD) == any(one is Order.AHEAD for one in expected)


@given(vectors, vectors)
def test_what_covers_another_is_not_behind_it(shown: Vector, wanted: Vector) -> None:
    if covers(shown, wanted):
        common = {key: shown[key] for key in wanted}
        assert compare(common, wanted) in (Order.SAME, Order.AHEAD, Order.OTHER)
        assert all(common[key].offset >= place.offset for key, place in wanted.items())


@given(vectors)
def test_the_text_of_a_vector_is_the_same_whatever_its_order(vector: dict[str, Place]) -> None:
    items = list(vector.items())
    random.shuffle(items)

    assert dumps(dict(items)) == dumps(vector)
    assert msgspec.json.decode(dumps(vector), type=dict[str, Place]) == vector
    assert json.loads(dumps(vector)) == {key: list(place) for key, place in vector.items()}


@pytest.mark.parametrize("case", CASES["compare"], ids=lambda case: case["name"])
def test_the_table_of_comparisons_holds(case: dict[str, Any]) -> None:
    shown, here = (msgspec.convert(case[side], dict[str, Place]) for side in ("shown", "here"))

    assert compare(shown, here).name == case["is"]


@pytest.mark.parametrize("case", CASES["covers"], ids=lambda case: case["name"])
def test_the_table_of_what_covers_what_holds(case: dict[str, Any]) -> None:
    shown, wanted = (msgspec.convert(case[side], dict[str, Place]) for side in ("shown", "wanted"))

    assert covers(shown, wanted) is case["is"]
