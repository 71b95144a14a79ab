"""The projection against a model: whatever happens to the log, its value is the fold of a history that the log had."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.ledger import Entered, EnteredLater, Ledger, faults, ledger_spec
from tests.core.simulated_log import ENTERS, Kind, Record, SimulatedLog, State
from via_state.core.projection import Action, HaltReason, Outcome, Projection
from via_state.core.records import GENESIS, Batch, Position

CURRENT, NEXT = ledger_spec(Entered), ledger_spec(EnteredLater)

FOLDED_ON = (Action.ADVANCED, Action.AT_HEAD, Action.HALTED)

#: Mostly what folds, so that runs get far.
KINDS = st.lists(st.sampled_from([*[Kind.CURRENT] * 9, Kind.UNKNOWN, *Kind]), min_size=1, max_size=5)
LIMITS = st.sampled_from([1, 4, 1000])


class Fed(NamedTuple):
    """One feeding, kept to be repeated late."""

    source: State
    batch: Batch
    after: Position


class ProjectionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        faults.folds_raise = False
        self.log = SimulatedLog()
        self.fed: list[Fed] = []
        self.spec = CURRENT
        self.start_over()

    def teardown(self) -> None:
        faults.folds_raise = False

    @initialize(kinds=st.lists(KINDS, max_size=3))
    def begin(self, kinds: list[list[Kind]]) -> None:
        for one in kinds:
            self.log.append(one)

    # What happens to the log ------------------------------------------------------------------------------

    @rule(kinds=KINDS, gap=st.integers(0, 3))
    def append(self, kinds: list[Kind], gap: int) -> None:
        self.log.append(kinds, gap)

    @precondition(lambda self: self.log.state.records)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        self.log.compact(data.draw(st.sampled_from(self.log.state.records)))

    @precondition(lambda self: self.log.state.packs)
    @rule(data=st.data(), then=st.lists(KINDS, max_size=3))
    def rewrite(self, data: st.DataObject, then: list[list[Kind]]) -> None:
        """Restore an old backup over the same epoch, move to another backplane, or delete; and perhaps continue from there."""
        keep = data.draw(st.integers(-2, len(self.log.state.packs) - 1))
        if keep >= 0:
            self.log.truncate(keep)
        elif keep == -1:
            self.log.move()
        else:
            self.log.drop()
        for kinds in then:
            self.log.append(kinds)

    @precondition(lambda self: self.log.state.packs)
    @rule(data=st.data())
    def lose_rows(self, data: st.DataObject) -> None:
        """Deleted by hand, or missing after half a restore: at the beginning, in the middle, at the end."""
        self.log.lose(data.draw(st.sampled_from(self.log.state.packs)))

    @precondition(lambda self: self.log.state.lost)
    @rule()
    def put_rows_back(self) -> None:
        self.log.put_back()

    # What happens to the pod ------------------------------------------------------------------------------

    @rule(broken=st.booleans())
    def folds_break_or_recover(self, broken: bool) -> None:
        faults.folds_raise = broken

    @rule(spec=st.sampled_from([CURRENT, NEXT]))
    def deploy(self, spec: object) -> None:
        """Another process with this code takes over."""
        self.spec = CURRENT if spec is CURRENT else NEXT
        self.start_over()

    def start_over(self) -> None:
        self.projection: Projection[Ledger] = Projection(self.spec)
        self.unread_at_seed = 0

    @rule(limit=LIMITS)
    def read_from_the_leader(self, limit: int) -> None:
        self.feed(self.log.state, limit)

    @rule(data=st.data(), limit=LIMITS)
    def read_from_a_stale_replica(self, data: st.DataObject, limit: int) -> None:
        self.feed(data.draw(st.sampled_from(self.log.past)), limit, authoritative=False)

    @precondition(lambda self: self.fed)
    @rule(data=st.data())
    def get_a_batch_again(self, data: st.DataObject) -> None:
        """Late or doubled: the last one most of the time."""
        fed = data.draw(st.one_of(st.just(self.fed[-1]), st.sampled_from(self.fed)))
        self.check_cursor(fed)

    @rule(data=st.data(), limit=LIMITS, snapshots=st.booleans())
    def catch_up(self, data: st.DataObject, limit: int, snapshots: bool) -> None:
        """Do what the actions say until there is nothing more to do."""
        state = self.log.state
        for _ in range(len(state.packs) + 4):
            action = self.feed(state, limit).action
            if action is Action.NEEDS_SNAPSHOT:
                if not (snapshots and self.seed(data, state.hole(self.projection.position))):
                    self.stand_at_the_gap()
                    return
            elif action in (Action.AT_HEAD, Action.HALTED):
                return
            else:
                assert action in (Action.ADVANCED, Action.RESET)
        raise AssertionError("the head was not reached")

    def stand_at_the_gap(self) -> None:
        before = self.projection.value
        assert self.projection.halt_for_gap().action is Action.HALTED
        assert self.projection.halt is not None
        assert self.projection.halt.reason is HaltReason.GAP
        assert self.projection.value == before

    def seed(self, data: st.DataObject, hole: int) -> bool:
        """From a snapshot that covers the floor, and all that is missing; whether there can be one."""
        state = self.log.state
        fitting = [one for one in state.records if one.offset >= state.floor.offset and one.offset > hole]
        if not fitting:
            return False
        record = data.draw(st.sampled_from(fitting))
        self.projection.seed(record.folded, state.position(record))
        self.unread_at_seed = record.unread
        return True

    # What must hold ---------------------------------------------------------------------------------------

    def feed(self, source: State, limit: int, authoritative: bool = True) -> Outcome:
        after = self.projection.position
        fed = Fed(source, source.read(after, limit, authoritative), after)
        self.fed.append(fed)
        return self.check_cursor(fed)

    def check_cursor(self, fed: Fed) -> Outcome:
        """Feed, and compare what the projection says and does with what is true."""
        projection, source = self.projection, fed.source
        before, value, halt = projection.position, projection.value, projection.halt
        outcome = projection.feed(fed.batch, fed.after)
        now = projection.position
        counted = outcome.applied + outcome.undecodable + outcome.unknown + outcome.retired
        if fed.after != before:
            assert (outcome, now, value, halt) == (Outcome(), before, projection.value, projection.halt)
        elif outcome.action is Action.RESET:
            assert fed.batch.authoritative
            assert not source.holds(before)
            assert (now, projection.value, projection.halt, counted) == (GENESIS, (), None, 0)
            self.unread_at_seed = 0
        elif outcome.action is Action.NEEDS_LEADER:
            assert not fed.batch.authoritative
            assert fed.batch.hole or not source.holds(before)
            assert (now, projection.value, counted) == (before, value, 0)
        elif outcome.action is Action.NEEDS_SNAPSHOT:
            assert before.offset < source.floor.offset or (fed.batch.authoritative and source.hole(before))
            assert (now, projection.value, counted) == (before, value, 0)
        else:
            assert outcome.action in FOLDED_ON
            assert source.holds(before)
            assert source.holds(now)
            assert not source.hole(before), "folded over a hole"
            lost = [pack for pack in source.lost if pack.last > max(before.offset, source.floor.offset)]
            assert all(pack.first > now.offset for pack in lost), "folded what is not there"
            self.judge_passed([one for one in source.records if before.offset < one.offset <= now.offset], outcome)
            self.judge_stop(source, outcome, now)
        return outcome

    def judge_passed(self, records: list[Record], outcome: Outcome) -> None:
        """Every record is counted for what it is, and none is passed that must not be."""
        kinds = Counter(one.kind for one in records)
        assert outcome.applied == sum(kinds[kind] for kind in ENTERS)
        assert outcome.undecodable == kinds[Kind.UNDECODABLE] + kinds[Kind.NONSENSE]
        assert (outcome.unknown, outcome.retired) == (kinds[Kind.UNKNOWN], kinds[Kind.RETIRED])
        assert not (self.spec is CURRENT and kinds[Kind.NEWER])
        assert not (faults.folds_raise and kinds[Kind.FRAGILE])

    def judge_stop(self, source: State, outcome: Outcome, now: Position) -> None:
        """It stops at the head, at the limit, or right before a record that it can't pass."""
        halt = self.projection.halt
        assert (halt is not None) == (outcome.action is Action.HALTED)
        assert (outcome.action is Action.AT_HEAD) == (halt is None and now.offset == source.head.offset)
        if halt is not None:
            stuck = next(one for one in source.records if one.offset > now.offset)
            assert stuck.id in halt.text
            if halt.reason is HaltReason.FOLD:
                assert stuck.kind is Kind.FRAGILE
                assert faults.folds_raise
            else:
                assert halt.reason is HaltReason.NEWER
                assert stuck.kind is Kind.NEWER
                assert self.spec is CURRENT

    @invariant()
    def the_value_is_the_fold_up_to_the_position(self) -> None:
        position = self.projection.position
        if position == GENESIS:
            assert self.projection.value == ()
            assert self.projection.unread is None
            return
        record = self.log.known[position.record_id]
        assert record.offset == position.offset
        assert self.projection.value == record.folded
        assert (self.projection.unread is not None) == (record.unread > self.unread_at_seed)


TestProjectionMachine = ProjectionMachine.TestCase
TestProjectionMachine.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
