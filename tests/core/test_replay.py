"""Each number counts once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.core.replay import SIZE, ReplayWindow


@given(st.lists(st.integers(min_value=0, max_value=3 * SIZE), max_size=300))
def test_a_number_is_fresh_once_and_unless_it_is_far_below_the_highest(numbers: list[int]) -> None:
    window, seen, highest = ReplayWindow(), set[int](), -1
    for number in numbers:
        expected = number not in seen and (number > highest or highest - number < SIZE)
        assert window.fresh(number) is expected, (number, highest)
        seen.add(number)
        highest = max(highest, number)


def test_numbers_in_order_are_all_fresh() -> None:
    window = ReplayWindow()
    assert all(window.fresh(number) for number in range(0, 10 * SIZE, 7))
    assert not any(window.fresh(number) for number in range(0, 10 * SIZE, 7))
