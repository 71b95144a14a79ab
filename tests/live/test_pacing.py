"""A group renders its first change at once and its last one in any case, and in between no oftener than it may."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from via_state.live.protocol.pacing import SHARE, Pacing

gaps = st.floats(0, 0.2)
costs = st.floats(0, 0.05)


@given(st.lists(st.tuples(gaps, costs), min_size=1, max_size=100), st.integers(1, 50))
def test_no_pace_is_exceeded_and_no_change_is_lost(changes: list[tuple[float, float]], rate: int) -> None:
    pacing, now, seen, known = Pacing(rate), 100.0, 0, 0
    renders: list[tuple[float, float]] = []

    def render(cost: float) -> None:
        nonlocal now, seen
        now += pacing.wait(now)
        assert pacing.wait(now) <= 1e-9
        began, seen = now, known
        now += cost
        pacing.rendered(began, now)
        renders.append((began, now))

    for number, (gap, cost) in enumerate(changes):
        now, known = now + gap, number + 1
        if number == 0:
            assert pacing.wait(now) == 0
        if pacing.wait(now) == 0:
            render(cost)
    if seen < known:
        render(0)
    assert seen == len(changes)
    for (began, ended), (next_began, _) in pairwise(renders):
        assert next_began - began >= max(1 / rate, SHARE * (ended - began)) - 1e-9
