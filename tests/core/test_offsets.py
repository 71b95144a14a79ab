"""Offsets as callers hold them."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from via_state.core.offsets import Offset, Offsets
from via_state.core.records import Position

OFFSETS = Offsets(Position("epoch", 12, "a-2"), 3)


def test_an_offset_is_an_integer_that_knows_its_epoch() -> None:
    offset = Offset(7, "epoch")
    assert (offset, offset.epoch) == (7, "epoch")
    assert offset < Offset(8, "epoch")
    assert json.dumps(offset) == str(offset) == "7"


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda offset: pickle.loads(pickle.dumps(offset))])
def test_copies_of_an_offset_keep_the_epoch(clone: object) -> None:
    assert callable(clone)
    copied = clone(Offset(7, "epoch"))
    assert (copied, copied.epoch) == (7, "epoch")


def test_the_offsets_of_an_append_end_at_its_position() -> None:
    assert list(OFFSETS) == [10, 11, 12]
    assert (OFFSETS[0], OFFSETS[-1], OFFSETS[1:], len(OFFSETS)) == (10, 12, [11, 12], 3)
    assert {one.epoch for one in [*OFFSETS, OFFSETS[0], *OFFSETS[1:]]} == {"epoch"}
    assert 11 in OFFSETS
    assert 13 not in OFFSETS
    with pytest.raises(IndexError):
        OFFSETS[3]


def test_offsets_equal_other_sequences_of_the_same_numbers() -> None:
    assert OFFSETS == [10, 11, 12]
    assert Offsets(Position("epoch", 12, "a-2"), 3) == OFFSETS
    assert OFFSETS != [10, 11]
    assert OFFSETS != "10"
    assert OFFSETS != 10
    assert repr(OFFSETS) == "[10, 11, 12]"
