"""Folds, upcasters and migrations that would fail whenever they are called are refused where they are declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from via_state import State, StateAppEvents
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError


@pytest.fixture(autouse=True)
def only_declared_here() -> Iterator[None]:
    with registry.isolated():
        yield


async def async_fold(self: Any, value: int) -> int:
    return value


def generator_fold(self: Any, value: int) -> Any:
    yield value


def long_fold(self: Any, value: int, other: int) -> int:
    return value


def short_fold(self: Any) -> int:
    return 0


def declare(event: Any) -> Any:
    class Code(State):
        log = StateAppEvents(event, value=int, key="tests.uncallable")

    return Code.log


@pytest.mark.parametrize(
    ("fold", "said"),
    [
        (async_fold, r"Event\.fold is async"),
        (generator_fold, r"Event\.fold is a generator"),
        (long_fold, r"Event\.fold takes \(self, value, other\), and is called with \(self, value\)"),
        (short_fold, r"Event\.fold takes \(self\)"),
        (staticmethod(long_fold), r"Event\.fold takes"),
    ],
)
def test_a_fold_that_can_not_fold_is_refused(fold: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        declare(make_dataclass("Event", [], namespace={"fold": fold})).definition.spec()


@pytest.mark.parametrize(
    "fold",
    [lambda self, value, more=0: value, staticmethod(lambda value: value), classmethod(lambda cls, value: value)],
)
def test_a_fold_that_can_be_called_is_taken(fold: Any) -> None:
    declare(make_dataclass("Event", [], namespace={"fold": fold})).definition.spec()


@dataclass(frozen=True, slots=True)
class Noted:
    """An event."""

    def fold(self, value: int) -> int:
        return value + 1


async def async_step(payload: Any) -> Any:
    return payload


@pytest.mark.parametrize(
    ("step", "said"), [(async_step, "is async"), (lambda: None, r"takes \(\)"), (generator_fold, "is a generator")]
)
def test_an_upcaster_and_a_migration_are_looked_at_as_well(step: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=f"migration from version 1 to 2 .*{said}"):
        declare(Noted).migration(1, 2)(step)
    event = make_dataclass(
        "Event",
        [],
        namespace={"fold": lambda self, value: value, "event_version": 2, "event_upcasters": {1: step}},
    )
    with pytest.raises(DeclarationError, match=f"upcaster of Event from version 1 .*{said}"):
        declare(event).definition.spec()
