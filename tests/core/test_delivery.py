"""What becomes of records that a handler is given, decided without I/O."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_cursor import NOTHING, at
from tests.pod.board import Add, Fragile
from via_state.core import delivery
from via_state.core.delivery import (
    Failure,
    Next,
    Retry,
    Treatment,
    after_failure,
    attempts_after,
    records_after,
)
from via_state.core.event_types import EventType
from via_state.core.events import Decoded, EventCodec
from via_state.core.metadata import Metadata, from_text
from via_state.core.records import Batch, Pack
from via_state.core.specs import LogSpec

CODEC = EventCodec([EventType.of(Add), EventType.of(Fragile)], retired=["Old"])

retries = st.builds(
    lambda base, factor, seconds, attempts: Retry(base, base * factor, seconds, attempts),
    st.floats(0.001, 10),
    st.floats(1, 1000),
    st.none() | st.floats(0.001, 1e6),
    st.none() | st.integers(1, 50),
)


NO_ATTEMPT = (Failure.LATER, Failure.CONTENDED)


@given(retries, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_half_of_the_full_one_and_all_of_it(
    retry: Retry, attempt: int, chance: float
) -> None:
    full = retry.max if attempt > 64 else min(retry.max, retry.base * 2.0 ** (attempt - 1))
    assert full / 2 <= retry.pause(attempt, lambda: chance) <= full <= retry.max


@given(retries, st.integers(1, 100))
def test_pauses_never_shrink_but_by_chance(retry: Retry, attempt: int) -> None:
    assert retry.pause(attempt + 1, lambda: 0.5) >= retry.pause(attempt, lambda: 0.5)


@given(retries, st.integers(0, 200), st.floats(0, 1e7), st.sampled_from(Failure))
def test_a_record_is_given_up_when_its_handler_says_so_or_its_attempts_or_its_time_are_used(
    retry: Retry, attempts: int, seconds: float, failure: Failure
) -> None:
    used = retry.max_attempts is not None and attempts >= retry.max_attempts
    over = retry.give_up_after is not None and seconds >= retry.give_up_after and attempts >= 2
    given_up = failure is Failure.POISON or (failure not in NO_ATTEMPT and (used or over))
    assert after_failure(failure, attempts, seconds, retry) is (Next.DEAD_LETTER if given_up else Next.RETRY)


@given(st.floats(0.001, 1e6), st.lists(st.tuples(st.floats(0, 1e5), st.sampled_from(Failure)), max_size=30))
def test_a_record_with_a_time_has_it_from_its_first_failure_and_at_least_one_more_attempt(
    limit: float, failures: list[tuple[float, Failure]]
) -> None:
    """However long the pauses are, and however often its handler asks for time or its worker dies."""
    retry, attempts, clock, first = Retry(give_up_after=limit), 0, 0.0, -1.0
    for pause, failure in failures:
        clock += pause
        attempts = attempts_after(failure, attempts) + (failure is Failure.TAKEN_OVER)
        if attempts and first < 0:
            first = clock
        if after_failure(failure, attempts, clock - first if attempts else 0.0, retry) is Next.DEAD_LETTER:
            assert failure is Failure.POISON or (attempts >= 2 and clock - first >= limit)
            return
        assert failure in NO_ATTEMPT or attempts < 2 or clock - first < limit


@given(st.integers(0, 100))
def test_asking_for_time_is_no_attempt(attempts: int) -> None:
    assert attempts_after(Failure.LATER, attempts) == attempts
    assert attempts_after(Failure.RAISED, attempts) == attempts + 1
    assert after_failure(Failure.LATER, attempts, 1e9, Retry(give_up_after=1, max_attempts=1)) is Next.RETRY


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(base=0),
        lambda: Retry(base=-1),
        lambda: Retry(max=float("inf")),
        lambda: Retry(base=2, max=1),
        lambda: Retry(give_up_after=0),
        lambda: Retry(give_up_after=True),
        lambda: Retry(give_up_after=float("inf")),
        lambda: Retry(give_up_after="1h"),  # type: ignore[arg-type]
        lambda: Retry(max_attempts=0),
        lambda: Retry(max_attempts=True),
    ],
)
def test_what_can_not_be_is_refused(make: Callable[[], Retry]) -> None:
    with pytest.raises(ValueError, match="Retry"):
        make()


RECORDS: dict[bytes, Treatment] = {
    b'["Add",1,{"number":1}]': Treatment.DELIVER,
    b'["Fragile",1,{"number":1}]': Treatment.PASS,
    b'["Old",1,{}]': Treatment.PASS,
    b'["Unknown",1,{}]': Treatment.BLOCK,
    b'["Add",2,{"number":1}]': Treatment.BLOCK,
    b'["Add",1,{"number":"x"}]': Treatment.SKIP,
    b'["Fragile",1,{"number":"x"}]': Treatment.PASS,
    b'{"number":1}': Treatment.SKIP,
}


@given(
    st.lists(st.lists(st.sampled_from(list(RECORDS)), min_size=1, max_size=9), max_size=5),
    st.integers(0, 45),
    st.integers(1, 10),
)
def test_each_record_after_the_position_comes_once_in_order_and_is_treated_as_what_it_is(
    packs: list[list[bytes]], cursor: int, size: int
) -> None:
    made, expected, offset = [], [], 0
    for number, records in enumerate(packs):
        made.append(Pack(f"p{number}", offset + 1, len(records), b"[" + b",".join(records) + b"]"))
        for index, record in enumerate(records):
            offset += 1
            if offset > cursor:
                expected.append((offset, f"p{number}-{index}", RECORDS[record]))
    batch = Batch(made, at(offset), NOTHING, None, True)
    with patch.object(delivery, "SLICE", size):
        found: list[Any] = list(records_after(batch, at(cursor), CODEC, (Add,)))
    assert [(one.position.offset, one.position.record_id, one.treatment) for one in found] == expected
    assert all((one.event is None) == (one.treatment is not Treatment.DELIVER) for one in found)
    whole = {
        pack.first + index: record
        for pack, records in zip(made, packs, strict=True)
        for index, record in enumerate(records)
    }
    for one in found:
        assert CODEC.stored(b"[" + whole[one.position.offset] + b"]", 1, 0) == one.stored(CODEC)


def test_the_first_records_of_a_large_pack_do_not_decode_the_others() -> None:
    record = b'["Add",1,{"number":1}]'
    pack = Pack("p", 1, 100_000, b"[" + b",".join([record] * 100_000) + b"]")
    decoded: list[int] = []

    class Counting(EventCodec):
        def decode(self, data: bytes, count: int) -> Decoded:
            decoded.append(count)
            return super().decode(data, count)

    codec = Counting([EventType.of(Add)])
    batch = Batch([pack], at(100_000), NOTHING, None, True)
    for cursor in (0, 250, 70_000, 99_990):
        found = list(itertools.islice(records_after(batch, at(cursor), codec, ()), 500))
        assert [one.position.offset for one in found] == list(range(cursor + 1, min(cursor + 500, 100_000) + 1))
    assert max(decoded) == 500
    assert sum(decoded) == 1510


def test_a_large_pack_whose_records_can_not_be_told_apart_is_one_that_can_not_be_decoded() -> None:
    batch = Batch([Pack("p", 1, 1200, b"[1,2")], at(1200), NOTHING, None, True)
    found = list(records_after(batch, at(1000), CODEC, ()))
    assert [(one.position.offset, one.treatment) for one in found] == [
        (n, Treatment.SKIP) for n in range(1001, 1201)
    ]


def test_a_record_tells_what_is_stored_and_what_is_kept_beside_it() -> None:
    metadata = Metadata(time=1764105600000, actor="7")
    batch = Batch([Pack("p", 1, 2, CODEC.encode([Add(1), Add(2)], metadata))], at(2), NOTHING, None, True)
    (one,) = records_after(batch, at(1), CODEC, (Add,))
    assert one.stored(CODEC) == ("Add", 1, '{"number":2}')
    assert from_text(one.metadata) == metadata


def test_a_log_that_is_no_family_has_keys_without_parameters() -> None:
    assert LogSpec("all", CODEC, tuple).parameters("all") == {}
