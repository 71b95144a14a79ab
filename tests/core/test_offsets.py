"""Offsets as callers hold them."""

from __future__ import annotations

import copy
import json
import pickle
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.core.offsets import Offset, Offsets, check_offset
from via_state.core.records import Position
from via_state.exceptions import InvalidOffset

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


@given(st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=16))
def test_a_token_keeps_the_offset_and_its_epoch_through_json_headers_and_urls(value: int, epoch: str) -> None:
    token = Offset(value, epoch).token()
    assert json.loads(json.dumps({"offset": token})) == {"offset": token}
    assert re.fullmatch(r"[0-9]+-[\w.~-]+", token, re.ASCII)
    assert quote(token, safe="") == token
    read = Offset.parse(token)
    assert (read, read.epoch) == (value, epoch)


@pytest.mark.parametrize(
    "text",
    [
        None, 7, Offset(7, "epoch"), "", "7", "7-", "-epoch", "07-epoch", "+7-epoch", "-7-epoch", "\u0667-epoch", " 7-epoch", "7-epoch\n",
        "7-a b", "7-~41", "7-~FF", "7-~4", "7-~ff", "9" * 5000 + "-epoch", "7-" + "e" * 5000, "epoch-7", "7-\ud800",
    ],
)  # fmt: skip
def test_text_of_another_form_is_refused_with_a_sentence(text: object) -> None:
    with pytest.raises(
        InvalidOffset, match=r"is not the token of an offset\. Pass what offset\.token\(\) gave"
    ) as raised:
        Offset.parse(text)  # type: ignore[arg-type]
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("value", [1, "1", None])
def test_what_has_no_epoch_is_no_offset_and_says_what_to_pass(value: object) -> None:
    check_offset(Offset(1, "e"))
    with pytest.raises(InvalidOffset, match=r"does not say of which epoch it is.*Offset\.parse\(token\)"):
        check_offset(value)
