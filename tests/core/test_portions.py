"""A batch in parts: each is proven by the one before, and together they are the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.core.portions import Portions
from via_state.core.records import GENESIS, Batch, Pack, Position


def batch_of(counts: list[int]) -> Batch:
    packs, first = [], 1
    for number, count in enumerate(counts):
        packs.append(Pack(f"{number:032x}", first, count, b""))
        first += count
    head = Position("epoch", packs[-1].last, packs[-1].record_id(packs[-1].last)) if packs else GENESIS
    return Batch(packs, head, GENESIS, None, True)


@given(st.lists(st.integers(1, 50), max_size=20), st.lists(st.integers(1, 100), min_size=1))
def test_parts_are_the_whole_and_each_continues_the_one_before(counts: list[int], sizes: list[int]) -> None:
    batch = batch_of(counts)
    portions, at = Portions(batch), GENESIS
    found: list[Pack] = []
    taken = 0
    while True:
        size = sizes[taken % len(sizes)]
        part = portions.take(size)
        assert sum(pack.count for pack in part.packs) <= size or len(part.packs) == 1
        if at.offset:
            assert part.proves(at)
        found += part.packs
        taken += 1
        if not portions.left:
            break
        last = part.packs[-1]
        at = Position("epoch", last.last, last.record_id(last.last))
    assert found == batch.packs


def test_a_batch_that_is_small_enough_is_not_copied() -> None:
    batch = batch_of([3, 4])
    assert Portions(batch).take(7) is batch
