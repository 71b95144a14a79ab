"""A write whose answer was lost: what the cell says about it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from via_state.core.cells import (
    REMEMBERED_SECONDS,
    REMEMBERED_WRITES,
    CellCodec,
    Holds,
    LostWrite,
    Write,
    encode_nothing,
    judge_lost_write,
)
from via_state.core.records import Cell, Revision

CODEC = CellCodec[int](int)


@dataclass
class Writer:
    """One cell. ``pause`` is what the next writer takes to have passed since the last write."""

    cell: Cell | None = None
    revisions: int = 0
    pause: float = 0.0

    @property
    def revision(self) -> Revision | None:
        return None if self.cell is None else self.cell.revision

    @property
    def writes(self) -> Sequence[Write]:
        return () if self.cell is None else CODEC.decode(self.cell.data).writes

    def write(self, write_id: str) -> None:
        self._put(CODEC.encode(7, write_id=write_id, writes=self.writes, pause=self.pause))

    def empty(self, holds: Holds, write_id: str) -> None:
        self._put(encode_nothing(holds, write_id=write_id, writes=self.writes, pause=self.pause))

    def _put(self, data: bytes) -> None:
        self.revisions += 1
        self.cell = Cell(data, Revision(self.revisions, f"of the store {self.revisions}"), 0.0, None)


RestorePoint: TypeAlias = tuple[Revision | None, Sequence[Write]]


@pytest.fixture
def writer() -> Writer:
    return Writer()


def check_cursor(writer: Writer, base: RestorePoint, lasts: bool = True) -> LostWrite:
    return judge_lost_write(writer.cell, expected=base[0], writes=base[1], write_id="ours", lasts=lasts)


def base_of(writer: Writer) -> RestorePoint:
    return writer.revision, writer.writes


@pytest.mark.parametrize("earlier", [0, 1, 3, 100])
@pytest.mark.parametrize("later", [0, 1, REMEMBERED_WRITES - 1])
def test_a_write_is_recognised_under_later_ones(writer: Writer, earlier: int, later: int) -> None:
    for number in range(earlier):
        writer.write(f"before {number}")
    base = base_of(writer)
    writer.write("ours")
    for number in range(later):
        writer.write(f"after {number}")
    assert check_cursor(writer, base) is LostWrite.APPLIED


@pytest.mark.parametrize("earlier", [0, 1, 3])
@pytest.mark.parametrize("later", [0, 1, REMEMBERED_WRITES - 1])
def test_a_write_that_lost_against_others_is_known_not_to_be_there(
    writer: Writer, earlier: int, later: int
) -> None:
    for number in range(earlier):
        writer.write(f"before {number}")
        writer.pause = 10 * REMEMBERED_SECONDS  # written long ago, and still the base of ours
    base = base_of(writer)
    for number in range(later):
        writer.write(f"after {number}")
        writer.pause = 0.0
    assert check_cursor(writer, base) is LostWrite.NOT_APPLIED


@pytest.mark.parametrize("applied", [True, False])
def test_too_many_later_writes_leave_it_open(writer: Writer, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    for number in range(REMEMBERED_WRITES):
        writer.write(f"after {number}")
    assert check_cursor(writer, base) is LostWrite.UNKNOWN


@pytest.mark.parametrize("applied", [True, False])
def test_two_later_writes_long_after_each_other_leave_it_open(writer: Writer, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    for number in (1, 2):
        writer.pause = 2 * REMEMBERED_SECONDS
        writer.write(f"after {number}")
    assert check_cursor(writer, base) is LostWrite.UNKNOWN


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("then", ["reset", "reset and written again", "ended"])
def test_a_reset_and_an_end_of_others_hide_nothing(writer: Writer, then: str, before: bool, applied: bool) -> None:
    if before:
        writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    writer.empty(Holds.ENDED if then == "ended" else Holds.RESET, "theirs")
    if then == "reset and written again":
        writer.write("after")
    assert check_cursor(writer, base) is (LostWrite.APPLIED if applied else LostWrite.NOT_APPLIED)


@pytest.mark.parametrize("applied", [True, False])
def test_a_reset_of_ours_is_a_write_like_any_other(writer: Writer, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.empty(Holds.RESET, "ours")
    writer.write("after")
    assert check_cursor(writer, base) is (LostWrite.APPLIED if applied else LostWrite.NOT_APPLIED)


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("then", ["expired", "expired and written again", "no longer a cell"])
def test_what_removes_the_writes_leaves_it_open(writer: Writer, then: str, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    writer.cell = Cell(b"what?", Revision(99, ""), 0.0, None) if then == "no longer a cell" else None
    if then == "expired and written again":
        writer.write("after")
    assert check_cursor(writer, base, lasts=False) is LostWrite.UNKNOWN


@pytest.mark.parametrize("again", [True, False])
def test_a_write_that_created_a_cell_and_may_have_expired_is_open(writer: Writer, again: bool) -> None:
    base = base_of(writer)
    writer.write("ours")
    writer.cell = None
    if again:
        writer.write("after")
    assert check_cursor(writer, base, lasts=False) is LostWrite.UNKNOWN


def test_a_write_to_a_cell_that_is_still_absent_was_not_applied(writer: Writer) -> None:
    assert check_cursor(writer, base_of(writer)) is LostWrite.NOT_APPLIED


def test_newer_code_on_top_hides_nothing(writer: Writer) -> None:
    base = base_of(writer)
    writer.write("ours")
    writer._put(CellCodec[str](str, version=2).encode("x", write_id="after", writes=writer.writes, pause=0))
    assert check_cursor(writer, base) is LostWrite.APPLIED


STEPS = st.sampled_from(["write", "write", "write", "reset", "expire"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 200), STEPS), max_size=80), st.data())
def test_the_judgement_is_never_wrong(steps: list[tuple[float, str]], data: st.DataObject) -> None:
    """Others write and reset, and tell the pauses as they like; ours lands, or not, at any moment of them."""
    writer, expired = Writer(), False
    base = base_of(writer)
    ours, lands = data.draw(st.integers(0, len(steps))), data.draw(st.booleans())
    for index in range(len(steps) + 1):
        if index == ours:
            base, expired = base_of(writer), False
            if lands:
                writer.write("ours")
        if index == len(steps):
            break
        writer.pause, step = steps[index]
        if step == "expire":
            writer.cell, expired = None, True
        elif step == "reset":
            writer.empty(Holds.RESET, f"other {index}")
        else:
            writer.write(f"other {index}")
    verdict = check_cursor(writer, base, lasts=not expired)
    assert verdict is not (LostWrite.NOT_APPLIED if lands else LostWrite.APPLIED)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=150))
def test_a_cell_remembers_a_bounded_number_of_writes(pauses: list[float]) -> None:
    writer = Writer()
    for index, seconds in enumerate(pauses):
        writer.pause = seconds
        writer.write(str(index))
        assert len(writer.writes) <= REMEMBERED_WRITES
    writer.pause = 2 * REMEMBERED_SECONDS
    writer.write("much later")
    assert [one for one, _ in writer.writes] == [str(len(pauses) - 1), "much later"]
