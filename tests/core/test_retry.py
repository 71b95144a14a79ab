"""How long a retry waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.core.retry import full_jitter


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 3.0), (64, 3.0)])
def test_the_ceiling_doubles_from_the_base_up_to_the_cap(attempt: int, ceiling: float) -> None:
    assert full_jitter(attempt, 0.25, 3.0, lambda: 1.0) == ceiling
    assert full_jitter(attempt, 0.25, 3.0, lambda: 0.5) == ceiling / 2
    assert full_jitter(attempt, 0.25, 3.0, lambda: 0.0) == 0.0


@given(st.integers(1, 10**12), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(0, 1, exclude_max=True))
def test_no_attempt_is_too_many(attempt: int, base: float, cap: float, random: float) -> None:
    assert 0 <= full_jitter(attempt, base, cap, lambda: random) <= cap
    assert full_jitter(10**12, base, cap, lambda: 1.0) == cap
