"""Which rows of a queue travel together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.core.batching import Batch, Queued, batches

NONE: frozenset[int] = frozenset()


def rows(*keys: str, size: int = 1) -> list[Queued[str]]:
    return [Queued(number, key, None, NONE, 1, size) for number, key in enumerate(keys, 1)]


def spans(found: list[Batch]) -> list[tuple[int, int]]:
    return [(one.ids[0], one.ids[-1]) for one in found]


def test_rows_of_a_key_are_joined_up_to_the_limits() -> None:
    found = batches(rows("a", "b", "a", "a", "b", "a"), 3, 100)
    assert spans(found["a"]) == [(1, 4), (6, 6)]
    assert spans(found["b"]) == [(2, 5)]
    assert spans(batches(rows("a", "a", "a", size=40), 9, 100)["a"]) == [(1, 2), (3, 3)]


def test_a_row_that_exceeds_the_limits_is_on_its_own() -> None:
    small, large = Queued(1, "a", None, NONE, 1, 1), Queued(2, "a", None, NONE, 1, 1000)
    assert spans(batches([small, large, Queued(3, "a", None, NONE, 1, 1)], 9, 100)["a"]) == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_rows_that_were_claimed_stay_together_and_keep_their_place() -> None:
    found = batches(
        [
            Queued(1, "a", None, NONE, 1, 1),
            Queued(2, "a", "x", frozenset({2, 4, 9}), 1, 1),
            Queued(3, "a", None, NONE, 1, 1),
            Queued(4, "a", None, NONE, 1, 1),
            Queued(5, "a", None, NONE, 1, 1),
        ],
        1,
        1,
    )["a"]
    assert [(one.batch, one.ids) for one in found] == [(None, [1]), ("x", [2, 4, 9]), (None, [3]), (None, [5])]


def test_keys_that_are_named_are_not_joined() -> None:
    found = batches(rows("a", "a", "b", "b"), 9, 100, frozenset({"a"}))
    assert spans(found["a"]) == [(1, 1), (2, 2)]
    assert spans(found["b"]) == [(3, 4)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 9))),
    st.integers(1, 9),
    st.integers(1, 20),
)
def test_every_row_is_in_one_batch_of_its_key(
    given_rows: list[tuple[str, bool, int]], records: int, size: int
) -> None:
    of_key: dict[str, list[int]] = {}
    for pk, (key, _, _) in enumerate(given_rows):
        of_key.setdefault(key, []).append(pk)
    queue = [
        Queued(pk, key, pk, frozenset(of_key[key][of_key[key].index(pk) :][:3]), 1, n)
        if claims
        else Queued(pk, key, None, NONE, 1, n)
        for pk, (key, claims, n) in enumerate(given_rows)
    ]
    found = batches(queue, records, size)
    assert {key: sorted(pk for one in found[key] for pk in one.ids) for key in found} == of_key or any(
        row.batch is not None for row in queue
    )
    for key, made in found.items():
        ids = [pk for one in made for pk in one.ids]
        assert set(ids) == set(of_key[key])
        assert [one.ids[0] for one in made] == sorted(one.ids[0] for one in made)
        for one in made:
            assert one.batch is not None or len(one.ids) == 1 or (one.records <= records and one.size <= size)
