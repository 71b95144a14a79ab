"""Who makes the next snapshot, and how far older ones let a log be compacted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from via_state.core.records import Position
from via_state.core.snapshot_generations import Generations, RetentionHold, SaveOutcome, decide_floor


def at(offset: int, record: str = "r") -> Position:
    return Position("e", offset, f"{record}-{offset}")


def offer(
    generations: Generations, offset: int, now: float, lease_owner: str = "me", **more: object
) -> SaveOutcome:
    """As by somebody who looked at the log, and found all records there."""
    options: dict[str, object] = {"lease": 15.0, "min_age": 600.0, "proven": generations.kept, **more}
    return generations.offer(at(offset), f"digest {offset}", lease_owner=lease_owner, now=now, **options)  # type: ignore[arg-type]


def test_one_holder_at_a_time_until_its_lease_ends_or_is_given_up() -> None:
    generations = Generations()
    assert offer(generations, 10, 0.0) is SaveOutcome.SAVED
    assert offer(generations, 20, 14.0, "other") is SaveOutcome.HELD
    assert offer(generations, 20, 15.0, "other") is SaveOutcome.SAVED
    generations.release("other")
    assert offer(generations, 30, 15.1) is SaveOutcome.SAVED


def test_a_snapshot_never_goes_back() -> None:
    generations = Generations()
    offer(generations, 100, 0.0)
    assert offer(generations, 40, 1.0) is SaveOutcome.COVERED
    assert offer(generations, 100, 1.0) is SaveOutcome.COVERED
    assert generations.newest == at(100)
    assert offer(generations, 150, 1.0) is SaveOutcome.SAVED


def test_one_that_history_disproved_is_replaced_by_an_earlier_one_and_makes_nothing_compactable() -> None:
    generations = Generations()
    offer(generations, 100, 0.0)
    offer(generations, 200, 700.0)
    offer(generations, 300, 1400.0)
    assert generations.compactable == at(200)
    assert offer(generations, 250, 1401.0, proven=[at(200)], disproven=[at(300)]) is SaveOutcome.SAVED
    assert generations.kept == [at(250), at(200)]
    assert offer(generations, 50, 1402.0, proven=[], disproven=[at(250), at(200)]) is SaveOutcome.SAVED
    assert generations.kept == [at(50)]


def test_nothing_is_replaced_nor_kept_out_before_what_is_stored_was_compared_with_the_log() -> None:
    generations = Generations()
    offer(generations, 100, 0.0)
    offer(generations, 200, 1.0)
    offer(generations, 300, 2.0)
    assert generations.kept == [at(300), at(100)]
    for offset, now, proven in ((250, 3.0, [at(100)]), (400, 800.0, [at(100)]), (400, 800.0, [])):
        assert offer(generations, offset, now, proven=proven) is SaveOutcome.UNPROVEN
        assert generations.kept == [at(300), at(100)]
    assert offer(generations, 400, 3.0, proven=[]) is SaveOutcome.SAVED, "the newest one stands for nothing older"
    assert offer(generations, 500, 800.0, proven=[at(400)]) is SaveOutcome.SAVED
    assert generations.kept == [at(500), at(400)]


def test_a_log_that_lost_less_than_the_age_is_still_covered() -> None:
    """Whatever was decided about its floor meanwhile."""
    generations = Generations()
    saved: dict[int, float] = {}
    for number in range(1, 400):
        now = number * 7.0
        assert offer(generations, number, now, min_age=60.0) is SaveOutcome.SAVED
        saved[number] = now
        floor = decide_floor(generations, [], [], now - 60.0, generations.kept).offset
        survived = [one for one, when in saved.items() if when <= now - 60.0]  # the log lost a minute
        if survived:
            assert any(floor <= one.offset <= survived[-1] for one in generations.kept) or floor == 0
    assert floor > 300


def test_another_value_at_the_same_position_ends_the_generations() -> None:
    generations = Generations()
    offer(generations, 10, 0.0)
    verdict = generations.offer(at(10), "another", lease_owner="other", now=1.0, lease=15.0, min_age=0.0)
    assert verdict is SaveOutcome.DIVERGED
    assert offer(generations, 20, 2.0) is SaveOutcome.STOPPED
    assert decide_floor(generations, [], [], 1e9, generations.kept).offset == 0


def test_the_floor_is_the_lowest_of_all_that_pin() -> None:
    own, other = Generations(compactable=at(80)), Generations(newest=at(60), saved_at=5.0)
    both = [at(80), at(60)]
    assert decide_floor(own, [], [], 10.0, both).offset == 80
    assert decide_floor(own, [], [], 10.0, [at(60)]).offset == 0, "the log does not hold its record"
    assert decide_floor(own, [("f1", other)], [], 10.0, both) == RetentionHold(
        60, "the snapshots of code f1", "code"
    )
    assert decide_floor(own, [("f1", other)], [], 4.0, both).offset == 0, "too young to rely on"
    assert decide_floor(own, [("f1", other)], [], 10.0, [at(80)]).offset == 0, "the log does not hold its record"
    assert decide_floor(
        own, [("f1", other)], [RetentionHold(7, "a handler", "handler")], 10.0, both
    ) == RetentionHold(7, "a handler", "handler")


def test_code_that_needs_the_log_from_its_start_pins_all_of_it() -> None:
    assert decide_floor(Generations(compactable=at(80)), [("f2", Generations())], [], 10.0, [at(80)]).offset == 0


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0.1, 400.0)), max_size=40),
    st.sampled_from([0.0, 1.0, 600.0]),
)
def test_what_is_compactable_was_superseded_and_is_old_enough(
    steps: list[tuple[int, float]], min_age: float
) -> None:
    generations, now, offset = Generations(), 0.0, 0
    saved: list[tuple[int, float]] = []
    for more, wait in steps:
        now, offset = now + wait, offset + more
        assert offer(generations, offset, now, min_age=min_age) is SaveOutcome.SAVED
        saved.append((offset, now))
        old_enough = [one for one, when in saved[:-1] if when <= now - min_age]
        assert generations.compactable.offset <= max(old_enough, default=0)
        assert generations.compactable_at(now - min_age, generations.kept) <= max(old_enough, default=0)
        if min_age == 0.0 and len(saved) > 1:
            assert generations.compactable.offset == saved[-2][0], "one generation behind"
    if steps and min_age:
        late = now + 10 * min_age
        for again in (1, 2, 3):  # it always moves on
            offer(generations, offset + again, late + again * 2 * min_age, min_age=min_age)
        assert generations.compactable.offset >= offset


def test_what_a_migration_made_begins_the_generations_unless_there_is_a_snapshot_that_can_be_used() -> None:
    generations = Generations()
    offer(generations, 100, 0.0)
    assert not generations.begin(at(90), "d", now=1.0, unusable=[])
    assert generations.begin(at(90), "d", now=1.0, unusable=[at(100)])
    assert generations.kept == [at(90)]


def test_a_candidate_that_history_disproved_is_gone_and_whoever_has_no_lease_gives_none_up() -> None:
    generations = Generations()
    offer(generations, 100, 0.0)
    offer(generations, 200, 1.0)
    assert generations.candidate == at(100)
    generations.release("other")
    assert generations.lease_owner == "me"
    assert generations.lease_until > 1.0
    assert offer(generations, 300, 2.0, proven=[at(200)], disproven=[at(100)]) is SaveOutcome.SAVED
    assert at(100) not in generations.kept
