"""A write whose answer was lost: what the cell says about it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from via_state.core.cells import (
    REMEMBERED_SECONDS,
    REMEMBERED_WRITES,
    CellCodec,
    LostWrite,
    Write,
    judge_lost_write,
)
from via_state.core.records import Cell

CODEC = CellCodec[int](int)


@dataclass
class Writer:
    """One cell; revisions count up and are never reused."""

    cell: Cell | None = None
    revisions: int = 0
    now: float = 1_000_000.0

    @property
    def rev(self) -> int:
        return 0 if self.cell is None else self.cell.rev

    @property
    def writes(self) -> Sequence[Write]:
        return () if self.cell is None else CODEC.decode(self.cell.data).writes

    def write(self, write_id: str) -> None:
        self._put(CODEC.encode(7, write_id=write_id, writes=self.writes, now=self.now))

    def end(self) -> None:
        self._put(CODEC.encode_ended(self.now))

    def _put(self, data: bytes) -> None:
        self.revisions += 1
        self.cell = Cell(data, self.revisions)


@pytest.fixture
def writer() -> Writer:
    return Writer()


def judge(writer: Writer, base: tuple[int, Sequence[Write]]) -> LostWrite:
    return judge_lost_write(writer.cell, expected_rev=base[0], writes=base[1], write_id="ours")


def base_of(writer: Writer) -> tuple[int, Sequence[Write]]:
    return writer.rev, writer.writes


@pytest.mark.parametrize("earlier", [0, 1, 3, 100])
@pytest.mark.parametrize("later", [0, 1, REMEMBERED_WRITES - 1])
def test_a_write_is_recognised_under_later_ones(writer: Writer, earlier: int, later: int) -> None:
    for number in range(earlier):
        writer.write(f"before {number}")
    base = base_of(writer)
    writer.write("ours")
    for number in range(later):
        writer.write(f"after {number}")
    assert judge(writer, base) is LostWrite.APPLIED


@pytest.mark.parametrize("earlier", [0, 1, 3])
@pytest.mark.parametrize("later", [0, 1, REMEMBERED_WRITES - 1])
def test_a_write_that_lost_against_others_is_known_not_to_be_there(
    writer: Writer, earlier: int, later: int
) -> None:
    for number in range(earlier):
        writer.write(f"before {number}")
        writer.now += 10 * REMEMBERED_SECONDS  # written long ago, and still the base of ours
    base = base_of(writer)
    for number in range(later):
        writer.write(f"after {number}")
    assert judge(writer, base) is LostWrite.NOT_APPLIED


@pytest.mark.parametrize("applied", [True, False])
def test_too_many_later_writes_leave_it_open(writer: Writer, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    for number in range(REMEMBERED_WRITES):
        writer.write(f"after {number}")
    assert judge(writer, base) is LostWrite.UNKNOWN


@pytest.mark.parametrize("applied", [True, False])
def test_two_later_writes_by_a_clock_that_runs_ahead_leave_it_open(writer: Writer, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    writer.now += 2 * REMEMBERED_SECONDS
    writer.write("after 1")
    writer.now += 2 * REMEMBERED_SECONDS
    writer.write("after 2")
    assert judge(writer, base) is LostWrite.UNKNOWN


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("then", ["deleted", "ended", "deleted and written again", "no longer a cell"])
def test_what_removes_the_writes_leaves_it_open(writer: Writer, then: str, applied: bool) -> None:
    writer.write("before")
    base = base_of(writer)
    if applied:
        writer.write("ours")
    if then == "ended":
        writer.end()
    elif then == "no longer a cell":
        writer.cell = Cell(b"what?", 99)
    else:
        writer.cell = None
    if then == "deleted and written again":
        writer.write("after")
    assert judge(writer, base) is LostWrite.UNKNOWN


def test_a_write_to_a_cell_that_is_still_absent_was_not_applied(writer: Writer) -> None:
    assert judge(writer, base_of(writer)) is LostWrite.NOT_APPLIED


def test_newer_code_on_top_hides_nothing(writer: Writer) -> None:
    base = base_of(writer)
    writer.write("ours")
    newer = CellCodec[str](str, version=2).encode("x", write_id="after", writes=writer.writes, now=writer.now)
    assert (
        judge_lost_write(Cell(newer, 2), expected_rev=base[0], writes=base[1], write_id="ours")
        is LostWrite.APPLIED
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 200), st.sampled_from(["other", "other", "other", "delete"])), max_size=80),
    st.data(),
)
def test_the_judgement_is_never_wrong(steps: list[tuple[float, str]], data: st.DataObject) -> None:
    """Other writers' clocks go forth and back by minutes; ours lands, or not, at any moment of them."""
    writer = Writer()
    ours = data.draw(st.integers(0, len(steps)))
    lands = data.draw(st.booleans())
    base, deleted = base_of(writer), False
    for index, (seconds, step) in enumerate(steps):
        if index == ours:
            base, deleted = base_of(writer), False
            if lands:
                writer.write("ours")
        writer.now += seconds
        if step == "delete":
            writer.cell, deleted = None, True
        else:
            writer.write(f"other {index}")
    if ours == len(steps):
        base, deleted = base_of(writer), False
        if lands:
            writer.write("ours")
    verdict = judge(writer, base)
    if lands:
        # Where it created the cell and the cell was deleted since, nothing of it is left.
        assert verdict is not LostWrite.NOT_APPLIED or (deleted and base[0] == 0)
    else:
        assert verdict is not LostWrite.APPLIED


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=150))
def test_a_cell_remembers_a_bounded_number_of_writes(pauses: list[float]) -> None:
    writer = Writer()
    for index, seconds in enumerate(pauses):
        writer.now += seconds
        writer.write(str(index))
        assert len(writer.writes) <= REMEMBERED_WRITES
    writer.now += 2 * REMEMBERED_SECONDS
    writer.write("much later")
    assert [one for one, _ in writer.writes] == [str(len(pauses) - 1), "much later"]
