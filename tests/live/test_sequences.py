"""What is missing of what others said."""

from __future__ import annotations

import random

import pytest

from via_state.live.announcing import kept
from via_state.live.announcing.kept import Kept
from via_state.live.announcing.sequences import MISSING, Sequences


def test_a_gap_is_missing_then_lost() -> None:
    heard = Sequences()
    assert heard.take("a", 5, now=0)
    assert heard.take("a", 8, now=1)
    assert not heard.take("a", 8, now=1)
    assert list(heard.missing(now=1, age=1)) == []
    assert list(heard.missing(now=2, age=1)) == [("a", [6, 7])]
    assert heard.take("a", 7, now=2)
    assert not heard.take("a", 7, now=2)
    assert heard.give_up(now=2.9, patience=2) == 1
    assert heard.lost == 0
    assert heard.give_up(now=3, patience=2) == 0
    assert heard.lost == 1
    assert not heard.take("a", 6, now=4), "lost is lost"


def test_what_was_said_before_is_not_missed_and_what_comes_last_is() -> None:
    heard = Sequences()
    heard.reached("a", 5, now=0)
    assert not heard.take("a", 5, now=0)
    heard.reached("a", 6, now=0)
    assert list(heard.missing(now=0, age=0)) == [("a", [6])]
    heard.reached("a", 6, now=0)
    assert heard.take("a", 6, now=0)
    assert heard.lost == 0


def test_a_gap_that_a_stranger_could_make_takes_no_memory() -> None:
    heard = Sequences()
    heard.take("a", 0, now=0)
    heard.take("a", 2**62, now=0)
    ((_, missing),) = heard.missing(now=0, age=0)
    assert len(missing) == MISSING
    assert missing[-1] == 2**62 - 1
    assert heard.lost == 2**62 - 1 - MISSING


@pytest.mark.parametrize("seed", range(20))
def test_each_number_is_taken_once_and_what_never_comes_is_counted(seed: int) -> None:
    rng = random.Random(seed)
    numbers = [number for number in range(300) if rng.random() > 0.1 or number in (0, 299)]
    coming = sorted(numbers + rng.choices(numbers, k=50), key=lambda number: number + rng.uniform(0, 20))
    coming.insert(0, 0)
    heard = Sequences()
    taken = [number for number in coming if heard.take("a", number, now=0)]
    assert sorted(taken) == numbers
    heard.give_up(now=10, patience=1)
    assert heard.lost == 300 - len(numbers)


def test_the_memory_of_a_sender_is_short() -> None:
    memory = Kept()
    for number in range(kept.MOST + 10):
        memory.add(number, b"x" * 10, now=float(number))
    assert len(memory) == kept.MOST
    assert list(memory.asked([9, 10], now=0)) == [b"x" * 10]
    memory.forget(before=100)
    assert list(memory.asked([99, 100], now=0)) == [b"x" * 10]
    memory.add(5000, b"x" * kept.MOST_BYTES, now=5000)
    assert len(memory) == 1
    memory.add(5001, b"y", now=5000)
    assert len(memory) == 1


def test_what_several_ask_for_is_said_once_a_second() -> None:
    memory = Kept()
    memory.add(1, b"one", now=0)
    memory.add(2, b"two", now=0)
    assert list(memory.asked([2, 1, 2, 77], now=0)) == [b"one", b"two"]
    assert list(memory.asked([1], now=0.5)) == []
    assert list(memory.asked([1], now=1.0)) == [b"one"]
