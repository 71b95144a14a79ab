"""Which rows of a queue travel together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.core.batching import Batch, Queued, batches


def rows(*keys: str, batch: object = None, size: int = 1) -> list[Queued[str]]:
    return [Queued(number, key, batch, 1, size) for number, key in enumerate(keys, 1)]


def spans(found: list[Batch]) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in found]


def test_rows_of_a_key_are_joined_up_to_the_limits() -> None:
    found = batches(rows("a", "b", "a", "a", "b", "a"), 3, 100)
    assert spans(found["a"]) == [(1, 4), (6, 6)]
    assert spans(found["b"]) == [(2, 5)]
    assert spans(batches(rows("a", "a", "a", size=40), 9, 100)["a"]) == [(1, 2), (3, 3)]


def test_a_row_that_exceeds_the_limits_is_on_its_own() -> None:
    small, large = Queued(1, "a", None, 1, 1), Queued(2, "a", None, 1, 1000)
    assert spans(batches([small, large, Queued(3, "a", None, 1, 1)], 9, 100)["a"]) == [(1, 1), (2, 2), (3, 3)]


def test_rows_that_were_claimed_stay_together_and_keep_their_place() -> None:
    found = batches(
        [
            Queued(1, "a", None, 1, 1),
            Queued(2, "a", "x", 1, 1),
            Queued(3, "a", None, 1, 1),
            Queued(4, "a", "x", 1, 1),
            Queued(5, "a", None, 1, 1),
        ],
        1,
        1,
    )["a"]
    assert [(one.batch, one.first, one.last, one.rows) for one in found] == [
        (None, 1, 1, 1),
        ("x", 2, 4, 2),
        (None, 3, 3, 1),
        (None, 5, 5, 1),
    ]


def test_keys_that_are_named_are_not_joined() -> None:
    found = batches(rows("a", "a", "b", "b"), 9, 100, frozenset({"a"}))
    assert spans(found["a"]) == [(1, 1), (2, 2)]
    assert spans(found["b"]) == [(3, 4)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, None, "x", "y"]), st.integers(1, 9))),
    st.integers(1, 9),
    st.integers(1, 20),
)
def test_every_row_is_in_one_batch_of_its_key(
    given_rows: list[tuple[str, str | None, int]], records: int, size: int
) -> None:
    queue = [Queued(pk, key, batch and key + batch, 1, n) for pk, (key, batch, n) in enumerate(given_rows)]
    found = batches(queue, records, size)
    assert sum(one.rows for of_key in found.values() for one in of_key) == len(queue)
    for of_key in found.values():
        assert [one.first for one in of_key] == sorted(one.first for one in of_key)
        for one in of_key:
            assert one.batch is not None or one.rows == 1 or (one.records <= records and one.size <= size)
