"""What a tab may send is bounded, and so is what is under way to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.live.protocol.limits import WINDOW_BYTES, TokenBucket, Window
from via_state.live.serving.allowances import Allowances


@given(st.lists(st.floats(0, 3), max_size=200), st.integers(1, 30), st.floats(0.1, 10))
def test_a_bucket_allows_its_burst_and_its_rate_and_no_more(gaps: list[float], burst: int, rate: float) -> None:
    now, taken = 50.0, []
    bucket = TokenBucket(burst, rate, now)
    for gap in gaps:
        now += gap
        if bucket.take(now):
            taken.append(now)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - began) + 1e-6


def test_a_bucket_allows_exactly_its_burst_at_once() -> None:
    bucket = TokenBucket(20, 5.0, 0.0)

    assert [bucket.take(0.0) for _ in range(21)] == [True] * 20 + [False]
    assert bucket.take(0.2)
    assert not bucket.take(0.2)


def test_a_window_closes_at_its_messages_and_opens_when_they_are_acknowledged() -> None:
    window = Window(32)
    for _ in range(31):
        window.sent(10)
        assert window.open
    window.sent(10)

    assert not window.open
    assert window.acknowledge(1)
    assert window.open
    assert window.unacknowledged == 31


def test_a_window_closes_at_its_bytes() -> None:
    window = Window(32)
    window.sent(WINDOW_BYTES - 1)
    assert window.open

    window.sent(1)

    assert not window.open


@given(st.lists(st.sampled_from(["send", "ack", "lie"]), max_size=60), st.integers(0, 10**12))
def test_no_acknowledgement_opens_more_than_was_sent(steps: list[str], lie: int) -> None:
    window, sent, acknowledged = Window(8), 0, 0
    for step in steps:
        if step == "send" and window.open:
            window.sent(100)
            sent += 1
        elif step == "ack":
            acknowledged += sent > acknowledged
            assert window.acknowledge(acknowledged)
        elif step == "lie":
            honest = acknowledged <= lie <= sent
            assert window.acknowledge(lie) is honest
            acknowledged = lie if honest else acknowledged
        assert window.unacknowledged == sent - acknowledged <= 8


def test_allowances_are_each_ones_own_and_the_longest_unseen_is_forgotten() -> None:
    allowances = Allowances(burst=1, rate=0.1, most=2)
    assert [allowances.allow(who, 0.0) for who in ("ada", "ada", "bob", "bob")] == [True, False, True, False]
    assert allowances.allow("ada", 11.0)
    assert allowances.allow("eve", 11.0)
    assert not allowances.allow("ada", 11.0)
    assert allowances.allow("bob", 1.0)  # forgotten
