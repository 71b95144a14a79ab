"""The projection, one situation at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.ledger import Entered, EnteredLater, Ledger, faults, ledger_spec
from tests.core.simulated_log import Kind, SimulatedLog
from via_state.core.event_types import EventType
from via_state.core.events import EventCodec, Unreadable
from via_state.core.projection import Action, HaltReason, Outcome, Projection, Unread
from via_state.core.records import GENESIS, Batch, Pack, Position
from via_state.core.specs import LogSpec
from via_state.core.verifier import Verifier
from via_state.core.visibility import Visibility

LIMIT = 1000


@pytest.fixture(autouse=True)
def working_folds() -> Iterator[None]:
    faults.folds_raise = False
    yield
    faults.folds_raise = False


@pytest.fixture
def log() -> SimulatedLog:
    return SimulatedLog()


@pytest.fixture
def projection() -> Projection[Ledger]:
    return Projection(ledger_spec())


def feed(projection: Projection[Ledger], log: SimulatedLog, authoritative: bool = True) -> Outcome:
    after = projection.position
    return projection.feed(log.state.read(after, LIMIT, authoritative), after)


def test_a_log_that_was_never_written_is_read_to_its_head(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    assert feed(projection, log) == Outcome(Action.AT_HEAD)
    assert (projection.value, projection.position) == ((), GENESIS)


def test_packs_fold_in_order_and_the_position_is_the_last_record(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.CURRENT, Kind.CURRENT])
    log.append([Kind.CURRENT], gap=7)
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=3)
    assert projection.value == (1, 2, 3)
    assert projection.position == log.state.head == Position("epoch1", 10, log.state.records[-1].id)


def test_more_than_one_batch_holds_is_read_on(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT])
    log.append([Kind.CURRENT])
    assert projection.feed(log.state.read(GENESIS, limit=1), GENESIS) == Outcome(Action.ADVANCED, applied=1)
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=1)


def test_a_doubled_batch_changes_nothing(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT, Kind.CURRENT])
    batch = log.state.read(GENESIS, LIMIT)
    projection.feed(batch, GENESIS)
    assert projection.feed(batch, GENESIS) == Outcome(Action.ADVANCED)
    assert projection.value == (1, 2)


def test_a_batch_that_was_read_before_the_fold_started_over_is_not_folded(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.CURRENT])
    feed(projection, log)
    log.drop()
    log.append([Kind.CURRENT])
    log.append([Kind.CURRENT])
    after = projection.position
    batch = log.state.read(after, LIMIT)
    assert projection.feed(batch, after).action is Action.RESET
    assert projection.feed(batch, after) == Outcome(Action.ADVANCED)
    assert projection.position == GENESIS
    feed(projection, log)
    assert projection.value == (2, 3)


def test_a_cursor_inside_a_pack_continues_behind_it(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT, Kind.CURRENT, Kind.CURRENT])
    middle = log.state.records[1]
    projection.seed(middle.folded, log.state.position(middle))
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=1)
    assert projection.value == (1, 2, 3)


# Another history ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["another epoch", "another record under the cursor", "the head before the cursor"]
)
def test_rewritten_history_starts_the_fold_over(
    projection: Projection[Ledger], log: SimulatedLog, change: str
) -> None:
    log.append([Kind.CURRENT])
    log.append([Kind.CURRENT])
    feed(projection, log)
    if change == "another epoch":
        log.move()
    else:
        log.truncate(keep=1)
    if change == "another record under the cursor":
        log.append([Kind.CURRENT])
    assert feed(projection, log, authoritative=False) == Outcome(Action.NEEDS_LEADER)
    assert projection.value == (1, 2)
    assert feed(projection, log) == Outcome(Action.RESET)
    assert projection.position == GENESIS
    assert not projection.value
    assert feed(projection, log).action is Action.AT_HEAD
    assert projection.value == log.state.records[-1].folded


def test_a_deleted_log_folds_to_the_zero_value(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT])
    feed(projection, log)
    log.drop()
    assert feed(projection, log).action is Action.RESET
    assert feed(projection, log) == Outcome(Action.AT_HEAD)
    assert projection.value == ()


def test_a_head_behind_the_cursor_outweighs_a_record_found_under_it(projection: Projection[Ledger]) -> None:
    cursor = Position("e", 5, "a-4")
    projection.seed((1,), cursor)
    batch = Batch([], Position("e", 4, "a-3"), Position("e", 0, ""), "a-4", True)
    assert projection.feed(batch, cursor).action is Action.RESET


# A discarded beginning ----------------------------------------------------------------------------------------


def test_a_cursor_at_the_floor_has_lost_nothing(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT, Kind.CURRENT])
    feed(projection, log)
    log.append([Kind.CURRENT])
    log.compact(log.state.records[1])
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=1)
    assert projection.value == (1, 2, 3)


def test_another_record_at_the_floor_is_another_history(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT])
    feed(projection, log)
    log.truncate(keep=0)
    log.append([Kind.CURRENT])
    log.compact(log.state.records[0])
    assert feed(projection, log).action is Action.RESET


@pytest.mark.parametrize("folded", [0, 1])
def test_a_lost_prefix_needs_a_snapshot_and_continues_from_it(
    projection: Projection[Ledger], log: SimulatedLog, folded: int
) -> None:
    log.append([Kind.CURRENT])
    if folded:
        feed(projection, log)
    log.append([Kind.CURRENT, Kind.CURRENT])
    log.append([Kind.CURRENT])
    log.compact(log.state.records[1])
    assert feed(projection, log) == Outcome(Action.NEEDS_SNAPSHOT)
    covering = log.state.records[2]
    projection.seed(covering.folded, log.state.position(covering))
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=1)
    assert projection.value == (1, 2, 3, 4)


def test_without_a_snapshot_the_key_stands_still_with_its_last_good_value(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.CURRENT])
    feed(projection, log)
    log.append([Kind.CURRENT, Kind.CURRENT])
    log.compact(log.state.records[2])
    feed(projection, log)
    assert projection.halt_for_gap() == Outcome(Action.HALTED)
    assert projection.halt is not None
    assert projection.halt.reason is HaltReason.GAP
    assert "offset 1" in str(projection.halt)
    assert projection.value == (1,)


def test_a_gap_ends_with_the_log_that_had_it(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT])
    log.compact(log.state.records[0])
    feed(projection, log)
    projection.halt_for_gap()
    log.drop()
    log.append([Kind.CURRENT])
    assert feed(projection, log).action is Action.AT_HEAD
    assert (projection.value, projection.halt) == ((2,), None)


# Records that can't be folded ---------------------------------------------------------------------------------


def test_a_fold_that_raises_halts_right_before_its_record_and_resumes_when_repaired(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.CURRENT, Kind.FRAGILE, Kind.CURRENT])
    faults.folds_raise = True
    for _ in range(2):
        outcome = feed(projection, log)
        assert outcome.action is Action.HALTED
        assert projection.value == (1,)
        assert projection.position == log.state.position(log.state.records[0])
        assert projection.halt is not None
        assert projection.halt.reason is HaltReason.FOLD
        assert "ZeroDivisionError: no entry 2" in projection.halt.text
        assert log.state.records[1].id in projection.halt.text
    faults.folds_raise = False
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=2)
    assert (projection.value, projection.halt) == ((1, 2, 3), None)


def test_the_very_first_record_may_halt(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.FRAGILE])
    faults.folds_raise = True
    assert feed(projection, log) == Outcome(Action.HALTED)
    assert (projection.value, projection.position) == ((), GENESIS)


def test_an_error_whose_text_raises_halts_like_any_other() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Bad(Entered, frozen=True):
        def fold(self, ledger: Ledger) -> Ledger:
            raise Unspeakable

    codec = EventCodec([EventType.of(Bad)])
    projection: Projection[Ledger] = Projection(LogSpec("bad", codec, tuple))
    pack = Pack("a", 1, 1, codec.encode([Bad(1)]))
    batch = Batch([pack], Position("e", 1, "a-0"), Position("e", 0, ""), None, True)
    assert projection.feed(batch, GENESIS).action is Action.HALTED
    assert "Unspeakable" in str(projection.halt)


def test_a_record_of_newer_code_halts_this_code_and_not_that(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.OLD, Kind.CURRENT, Kind.NEWER, Kind.CURRENT])
    for _ in range(2):
        assert feed(projection, log).action is Action.HALTED
        assert projection.value == (1, 2)
        assert projection.halt is not None
        assert projection.halt.reason is HaltReason.NEWER
        assert log.state.records[2].id in projection.halt.text
    newer = Projection(ledger_spec(EnteredLater))
    assert feed(newer, log) == Outcome(Action.AT_HEAD, applied=4)
    assert newer.value == (1, 2, 3, 4)


def test_what_gives_no_event_is_passed_over_and_counted(projection: Projection[Ledger], log: SimulatedLog) -> None:
    log.append([Kind.CURRENT, Kind.UNDECODABLE, Kind.NONSENSE, Kind.RETIRED, Kind.OLD])
    log.append([Kind.UNDECODABLE])
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=2, undecodable=3, retired=1)
    assert projection.value == (1, 5)
    assert projection.position == log.state.head
    assert projection.unread == Unread(2, Unreadable.UNDECODABLE)


def test_a_projection_that_passed_over_an_unknown_event_says_so_until_it_starts_over(
    projection: Projection[Ledger], log: SimulatedLog
) -> None:
    log.append([Kind.UNKNOWN, Kind.CURRENT])
    assert feed(projection, log) == Outcome(Action.AT_HEAD, applied=1, unknown=1)
    assert projection.unread == Unread(1, Unreadable.UNKNOWN)
    log.drop()
    feed(projection, log)
    assert projection.unread is None


def test_a_pack_that_is_not_what_its_count_says_is_undecodable_as_a_whole(projection: Projection[Ledger]) -> None:
    head, floor = Position("e", 4, "b-1"), Position("e", 0, "")
    packs = [Pack("a", 1, 2, b'[["Entered",2,{"number":1}]]'), Pack("b", 3, 2, b"\xff")]
    assert projection.feed(Batch(packs, head, floor, None, True), GENESIS) == Outcome(
        Action.AT_HEAD, undecodable=4
    )
    assert projection.position == head


def test_when_memory_runs_out_the_value_and_the_position_still_belong_together(
    log: SimulatedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append([Kind.CURRENT])
    log.append([Kind.CURRENT])
    spec = ledger_spec()
    projection = Projection(spec)
    decode, second = spec.events.decode, log.state.packs[1].data

    def exhausted(data: bytes, count: int) -> object:
        if data == second:
            raise MemoryError
        return decode(data, count)

    monkeypatch.setattr(spec.events, "decode", exhausted)
    with pytest.raises(MemoryError):
        feed(projection, log)
    assert (projection.value, projection.position.offset) == ((1,), 1)
    monkeypatch.undo()
    feed(projection, log)
    assert projection.value == (1, 2)


def test_a_gap_says_whether_a_hole_or_other_code_is_the_reason(projection: Projection[Ledger]) -> None:
    projection.halt_for_gap(hole=7)
    assert "records up to offset 7 are missing" in str(projection.halt)
    projection.halt_for_gap("the migration (1, 2) is not registered")
    assert projection.halt is not None
    assert projection.halt.reason is HaltReason.CODE
    assert str(Unread(3, Unreadable.UNKNOWN)).endswith("is of an event that this code does not declare")
    assert str(Unread(3, Unreadable.UNDECODABLE)) == "this code can't decode the record at offset 3"


def test_a_read_that_brings_nothing_while_the_log_says_there_is_more_stalls(
    projection: Projection[Ledger],
) -> None:
    batch = Batch([], Position("e", 3, "r3"), GENESIS, None, True)
    assert projection.feed(batch, GENESIS).action is Action.STALLED


def test_while_a_projection_is_verified_the_value_that_readers_have_is_watched() -> None:
    class Count(Entered, frozen=True):
        def fold(self, ledger: Ledger) -> Ledger:
            return (*ledger, self.number)

    codec = EventCodec([EventType.of(Count)])
    projection: Projection[Ledger] = Projection(LogSpec("verified", codec, tuple), Verifier())
    pack = Pack("a", 1, 2, codec.encode([Count(1), Count(2)]))
    projection.feed(Batch([pack], Position("e", 2, "a-1"), Position("e", 0, ""), None, True), GENESIS)
    assert projection.value == (1, 2)


def test_after_a_restore_nothing_is_proven_until_a_batch_was_folded(projection: Projection[Ledger]) -> None:
    visibility: Visibility[Ledger] = Visibility(projection.value)
    projection.seed((1,), Position("e", 1, "r1"))
    visibility.publish(Action.AT_HEAD, projection)
    assert visibility.holds("e", 1)
    visibility.restored()
    assert not visibility.holds("e", 1)
