"""Who is here, by what several processes say."""

from __future__ import annotations

import random

import pytest

from via_state.core.presence import ENDED, ENDED_SILENCE, SILENCE, Present, Rolls, Sightings, called, members


def roll(*people: tuple[str, float, int]) -> tuple[Present, ...]:
    return tuple(Present(id, id, since, tabs) for id, since, tabs in people)


def listed(rolls: Rolls, *without: str) -> list[tuple[str, float, int, bool]]:
    return [(one.id, one.since.timestamp(), one.tabs, one.away) for one in members(rolls, without)]


def test_one_list_is_made_of_all() -> None:
    rolls = {"a": roll(("ada", 2, 1), ("bob", 3, 0)), "b": roll(("bob", 1, 2), ("eve", 1, 0))}
    assert listed(rolls) == [("bob", 1, 2, False), ("eve", 1, 0, True), ("ada", 2, 1, False)]
    assert listed(rolls, "b") == [("ada", 2, 1, False), ("bob", 3, 0, True)]
    assert members({}) == ()


def test_a_process_says_who_is_there_and_keeps_what_others_say() -> None:
    rolls = {"a": roll(("ada", 2, 1)), "b": roll(("bob", 3, 1)), "c": roll(("eve", 4, 1))}
    assert called(rolls, "a", roll(("cyd", 5, 1)), {"c"}) == {"a": roll(("cyd", 5, 1)), "b": roll(("bob", 3, 1))}
    assert called(rolls, "a", [], ()) == {"b": roll(("bob", 3, 1)), "c": roll(("eve", 4, 1))}


def test_who_comes_to_another_process_was_there_all_the_time_and_is_away_nowhere() -> None:
    rolls = {"a": roll(("ada", 2, 0), ("bob", 3, 0)), "b": roll(("ada", 1, 0))}
    after = called(rolls, "c", roll(("ada", 9, 1)), ())
    assert after == {"a": roll(("bob", 3, 0)), "c": roll(("ada", 1, 1))}
    assert listed(called({"a": roll(("ada", 2, 1))}, "c", roll(("ada", 9, 0)), ())) == [("ada", 2, 1, False)]


def test_a_process_is_gone_when_its_beat_was_not_seen_to_move() -> None:
    seen, beats = Sightings(), {"a": 1, "b": 7, "c": ENDED}
    assert seen.look("abcd", beats, 1000) == set()
    assert seen.look("abcd", beats, 1000 + ENDED_SILENCE) == {"c"}
    beats["b"] = 8
    assert seen.look("abcd", beats, 1000 + SILENCE) == {"a", "c", "d"}, "d never said anything"
    beats["a"] = 2
    assert seen.look("abc", beats, 1001 + SILENCE) == {"c"}
    assert seen.look("abc", {"b": 9}, 1002 + SILENCE) == set(), "a and c are no longer there, from now on"
    assert seen.look("abc", {"b": 10}, 1002 + 2 * SILENCE) == {"a", "c"}
    assert seen.look("", {}, 9999) == set()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_processes_say_in_whatever_order_all_who_are_awake_are_listed_once(seed: int) -> None:
    rng = random.Random(seed)
    rolls: Rolls = {}
    awake: dict[str, set[str]] = {}
    for _ in range(100):
        process, people = rng.choice("abc"), rng.sample(["ada", "bob", "eve", "cyd"], rng.randrange(5))
        awake[process] = {id for id in people if rng.random() > 0.3}
        mine = roll(*((id, rng.randrange(9), int(id in awake[process])) for id in people))
        rolls = called(rolls, process, mine, ())
        found = members(rolls)
        assert len({one.id for one in found}) == len(found)
        assert {one.id for one in found if not one.away} == set().union(*awake.values())
