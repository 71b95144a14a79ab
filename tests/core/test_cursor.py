"""What a batch proves about the position it was read after: the same for projections and event handlers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.simulated_log import Kind, SimulatedLog
from via_state.core.cursor import CursorCheck, check_cursor
from via_state.core.records import GENESIS, Batch, Position


def at(offset: int, epoch: str = "e", record: str | None = None) -> Position:
    return Position(epoch, offset, f"r{offset}" if record is None else record)


NOTHING = Position("e", 0, "")


@pytest.mark.parametrize(
    ("position", "head", "floor", "cursor_id", "from_floor", "expected"),
    [
        (GENESIS, at(9), NOTHING, None, False, CursorCheck.CONTINUES),
        (GENESIS, GENESIS, GENESIS, None, False, CursorCheck.CONTINUES),
        (GENESIS, at(9), at(4), None, False, CursorCheck.LOST),
        (GENESIS, at(9), at(4), None, True, CursorCheck.FROM_FLOOR),
        (at(5), at(9), NOTHING, "r5", False, CursorCheck.CONTINUES),
        (at(5), at(9), at(5), None, False, CursorCheck.CONTINUES),
        (at(5), at(9), at(6), None, False, CursorCheck.LOST),
        (at(5), at(9), at(6), None, True, CursorCheck.LOST),
        (at(5), at(9), NOTHING, "other", False, CursorCheck.REWRITTEN),
        (at(5), at(9), at(5, record="other"), None, False, CursorCheck.REWRITTEN),
        (at(5), at(4), NOTHING, None, False, CursorCheck.REWRITTEN),
        (at(5), at(9, "f"), NOTHING, "r5", False, CursorCheck.REWRITTEN),
        (at(5), GENESIS, GENESIS, None, False, CursorCheck.REWRITTEN),
    ],
)
def test_the_evidence_of_a_batch(
    position: Position,
    head: Position,
    floor: Position,
    cursor_id: str | None,
    from_floor: bool,
    expected: CursorCheck,
) -> None:
    assert check_cursor(position, Batch([], head, floor, cursor_id, True), from_floor) is expected
    replica = check_cursor(position, Batch([], head, floor, cursor_id, False), from_floor)
    assert replica is (CursorCheck.UNPROVEN if expected is CursorCheck.REWRITTEN else expected)


@pytest.mark.parametrize("from_floor", [False, True])
@pytest.mark.parametrize(("position", "floor"), [(GENESIS, NOTHING), (at(5), NOTHING), (GENESIS, at(2))])
def test_records_that_are_missing_halt_whoever_lacks_them(
    position: Position, floor: Position, from_floor: bool
) -> None:
    hole = Batch([], at(9), floor, "r5", True, hole=7)
    assert check_cursor(position, hole, from_floor) is CursorCheck.LOST
    by_the_floor = floor.offset and not from_floor  # which is proof, whoever answered
    told_by_a_replica = check_cursor(position, hole._replace(authoritative=False), from_floor)
    assert told_by_a_replica is (CursorCheck.LOST if by_the_floor else CursorCheck.UNPROVEN)


def test_a_reader_that_has_nothing_of_a_history_learns_that_it_was_replaced() -> None:
    assert check_cursor(at(0, record=""), Batch([], at(9, "f"), GENESIS, None, True)) is CursorCheck.REWRITTEN
    assert check_cursor(at(0, record=""), Batch([], GENESIS, GENESIS, None, True)) is CursorCheck.CONTINUES


@given(
    packs=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    moved=st.booleans(),
    at=st.integers(0, 20),
    after=st.integers(0, 20),
)
def test_a_batch_from_one_record_of_it_is_the_batch_that_is_read_there(
    packs: list[int], moved: bool, at: int, after: int
) -> None:
    log = SimulatedLog()
    for count in packs:
        log.append([Kind.CURRENT] * count)
    records = log.state.records
    cursor, position = (
        log.state.position(records[after % len(records)]),
        log.state.position(records[at % len(records)]),
    )
    if moved:
        log.move()
    batch = log.state.read(cursor, 1000, True)
    beyond = batch.beyond(position)
    if beyond is not None:
        assert not moved
        assert beyond == log.state.read(position, 1000, True)
    elif position.offset > cursor.offset and position.offset in [pack.last for pack in batch.packs]:
        assert moved


@given(
    packs=st.lists(st.integers(1, 4), max_size=4),
    floor=st.integers(0, 20),
    at=st.integers(0, 20),
    rewritten=st.sampled_from(["no", "moved", "dropped"]),
    authoritative=st.booleans(),
)
def test_the_check_says_what_is_true(
    packs: list[int], floor: int, at: int, rewritten: str, authoritative: bool
) -> None:
    log = SimulatedLog()
    for count in packs:
        log.append([Kind.CURRENT] * count)
    records = log.state.records
    position = log.state.position(records[at % len(records)]) if records and at else GENESIS
    if rewritten == "moved":
        log.move()
    elif rewritten == "dropped":
        log.drop()
    if log.state.records and floor:
        log.compact(log.state.records[floor % len(log.state.records)])
    state = log.state
    check = check_cursor(position, state.read(position, 1000, authoritative))
    if check is CursorCheck.CONTINUES:
        assert state.holds(position)
        assert position.offset >= state.floor.offset
    elif check is CursorCheck.LOST:
        assert position.offset < state.floor.offset
    else:
        assert check is (CursorCheck.REWRITTEN if authoritative else CursorCheck.UNPROVEN)
        assert not state.holds(position)
