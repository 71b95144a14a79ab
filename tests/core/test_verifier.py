"""Folds that are not pure are caught where projects are developed."""

from __future__ import annotations

from typing import Any

import pytest

from via_state.core.verifier import Verifier


class Event:
    def fold(self, value: list[int]) -> list[int]:
        return [*value, 1]


class InPlace:
    def fold(self, value: list[int]) -> list[int]:
        value.append(1)
        return value


class Moody:
    def __init__(self) -> None:
        self.count = 0

    def fold(self, value: list[int]) -> list[int]:
        self.count += 1
        return [*value, self.count]


def test_a_pure_fold_is_not_suspected() -> None:
    verifier: Verifier[list[int]] = Verifier()
    assert verifier.fold(Event(), [0]) == [0, 1]
    assert verifier.found is None


@pytest.mark.parametrize(
    ("event", "words"),
    [(InPlace(), "InPlace.fold changed the value it was given"), (Moody(), "Moody.fold gave two results")],
)
def test_the_first_fault_is_named(event: Any, words: str) -> None:
    verifier: Verifier[list[int]] = Verifier()
    verifier.fold(event, [0])
    verifier.fold(Moody(), [0])
    assert (verifier.found or "").startswith(words)


def test_a_reader_that_changes_a_value_is_noticed_and_the_next_one_has_it_clean() -> None:
    verifier: Verifier[list[int]] = Verifier()
    value = [0]
    assert verifier.taken(value) is value, "nobody was given it"
    verifier.give(value)
    verifier.give(value)
    assert verifier.taken(value) is value
    value.append(9)
    assert verifier.taken(value) == [0]
    assert "a reader changed the value" in (verifier.found or "")
    found = verifier.found
    assert verifier.taken(value) == [0]
    assert verifier.found is found


class Uncopied:
    def __deepcopy__(self, memo: object) -> Any:
        raise SystemExit("not copied")


class Interrupted:
    def __deepcopy__(self, memo: object) -> Any:
        raise KeyboardInterrupt


def test_a_value_that_can_not_be_copied_is_a_fault_and_ends_nothing() -> None:
    verifier: Verifier[Any] = Verifier()
    verifier.give(Uncopied())
    assert (verifier.found or "").startswith("its value can't be copied: SystemExit")
    verifier.give(Uncopied())
    with pytest.raises(KeyboardInterrupt):
        verifier.give(Interrupted())
