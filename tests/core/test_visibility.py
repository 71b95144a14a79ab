"""What readers see of a projection, whatever happens to the log: always one whole history, and value and position of one moment."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant

from tests.core.ledger import Ledger
from tests.core.test_projection_machine import Fed, ProjectionMachine
from via_state.core.projection import Action, Outcome
from via_state.core.records import GENESIS
from via_state.core.visibility import Shown, Visibility

#: The shell raises for these, and shows nothing.
NOT_SHOWN = (Action.NEEDS_LEADER, Action.STALLED)


class VisibilityMachine(ProjectionMachine):
    """Everything that happens to a projection, seen by its readers."""

    def start_over(self) -> None:
        super().start_over()
        self.visibility: Visibility[Ledger] = Visibility(self.projection.value)
        self.proven = True  # nothing yet, which fits every history

    def check_cursor(self, fed: Fed) -> Outcome:
        late = fed.after != self.projection.position
        outcome = super().check_cursor(fed)
        if not late and outcome.action not in NOT_SHOWN:
            if outcome.action is Action.RESET:
                self.proven = False
            if outcome.action is not Action.NEEDS_SNAPSHOT:
                self.publish(outcome.action)
        return outcome

    def seed(self, data: st.DataObject, hole: int) -> bool:
        found = super().seed(data, hole)
        if found:
            self.visibility.restored()
            self.proven = False
            self.publish(Action.ADVANCED)
        return found

    def stand_at_the_gap(self) -> None:
        super().stand_at_the_gap()
        self.publish(Action.HALTED)

    def publish(self, action: Action) -> None:
        before, loaded = self.visibility.shown, self.visibility.loaded
        told = self.visibility.publish(action, self.projection)
        now, projection = self.visibility.shown, self.projection
        assert told == (
            now.value is not before.value or now.position != before.position or now.halted != before.halted
        )
        assert now.halted == (None if projection.halt is None else str(projection.halt))
        assert self.visibility.loaded or not loaded, "readers lost what they had"
        if action is Action.AT_HEAD or (action is Action.HALTED and projection.whole):
            self.proven = True
        if self.proven:
            assert now == Shown(projection.value, projection.position, now.halted)
        else:
            assert (now.value, now.position) == (before.value, before.position), "half of a history is seen"
        if action is Action.AT_HEAD:
            assert self.visibility.loaded
            assert self.visibility.holds(projection.position.epoch, projection.position.offset)
        if action is Action.RESET:
            assert not self.visibility.holds(before.position.epoch, before.position.offset)

    @invariant()
    def value_and_position_are_of_one_moment(self) -> None:
        shown = self.visibility.shown
        if shown.position == GENESIS:
            assert shown.value == ()
        else:
            record = self.log.known[shown.position.record_id]
            assert (record.offset, record.folded) == (shown.position.offset, shown.value)


TestVisibility = VisibilityMachine.TestCase
TestVisibility.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
