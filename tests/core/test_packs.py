"""Packs that are parted, records that are missing, and whether a batch proves a position."""

from __future__ import annotations

import pytest

from via_state.core.holes import before_hole
from via_state.core.packs import piece_id, pieces
from via_state.core.records import GENESIS, Batch, Pack, Position

ID = "0" * 32


def test_a_pack_that_is_small_enough_stays_whole() -> None:
    pack = Pack(ID, 1, 3, b"[1,22,333]")
    assert list(pieces(pack, 3, 100)) == [pack]


@pytest.mark.parametrize(("records", "size", "sizes"), [(2, 100, [2, 1]), (3, 7, [2, 1]), (1, 7, [1, 1, 1])])
def test_pieces_have_the_same_records_in_the_same_order(records: int, size: int, sizes: list[int]) -> None:
    parts = list(pieces(Pack(ID, 5, 3, b"[1,22,333]"), records, size))
    assert [part.count for part in parts] == sizes
    assert [part.first for part in parts] == [5, *(5 + sum(sizes[:n]) for n in range(1, len(sizes)))]
    assert b",".join(part.data[1:-1] for part in parts) == b"1,22,333"
    assert all(len(part.data) <= size for part in parts)


def test_the_first_piece_keeps_the_id_and_the_others_have_the_same_one_each_time() -> None:
    first, second = (part.id for part in pieces(Pack(ID, 1, 2, b"[1,2]"), 1, 100))
    assert first == ID
    assert second == piece_id(ID, 1) != piece_id(ID, 2)


@pytest.mark.parametrize(
    ("pack", "why"),
    [
        (Pack(ID, 1, 2, b"nonsense that is too long"), "can't be parted"),
        (Pack(ID, 1, 2, b"[1111111111]"), "can't be parted"),
        (Pack(ID, 1, 2, b"[1,22222222222]"), f"the record {ID}-1 is too large: 13 bytes"),
    ],
)
def test_what_can_not_be_parted_says_why(pack: Pack, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        list(pieces(pack, 2, 9))


def test_packs_end_before_a_hole() -> None:
    packs = [Pack(ID, 3, 2, b""), Pack(ID, 5, 1, b""), Pack(ID, 8, 1, b"")]
    assert before_hole(packs, 2) == packs[:2]
    assert before_hole(packs[:2], 3) == packs[:2], "the first one may begin before"
    assert before_hole(packs, 0) == []


@pytest.mark.parametrize(
    ("position", "proven"),
    [
        (Position("e", 4, "r4"), True),
        (Position("e", 2, "r2"), True),
        (Position("e", 4, "another"), False),
        (Position("other", 4, "r4"), False),
        (Position("e", 7, "r7"), False),
    ],
)
def test_a_batch_proves_the_position_whose_record_the_log_has(position: Position, proven: bool) -> None:
    batch = Batch([], Position("e", 6, "r6"), Position("e", 2, "r2"), "r4", True)
    assert batch.proves(position) is proven
    assert not Batch([], GENESIS, GENESIS, None, True).proves(position)
