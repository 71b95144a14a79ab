"""What changes the fingerprint of a log's code, and what does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import attrs
import pytest
from django.core.checks import run_checks

from via_state import State, StateApp, StateAppEvents, StateSess, StateUser
from via_state.core.event_types import EventType
from via_state.core.manifest import Reading
from via_state.declarations.fingerprints import fold_hash, reading_of, type_hash
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError


class Plain:
    def fold(self, value: int) -> int:
        return value + 1


class Commented:
    # A comment.
    def fold(self, value: int) -> int:
        """With a docstring, other annotations and another layout."""

        return (
            value + 1  # one more
        )


class Different:
    def fold(self, value: int) -> int:
        return value + 2


def test_only_what_a_fold_does_counts() -> None:
    assert fold_hash(Plain.fold) == fold_hash(Commented.fold)
    assert fold_hash(Plain.fold) != fold_hash(Different.fold)


class Elaborate:
    def fold(self, value: dict[str, int]) -> dict[str, int]:
        "Of everything that versions of Python have parsed differently."
        match self:
            case Elaborate():
                text = f"{value!r:>{10}} {self}"
            case _:
                text = (lambda a, *b, c=1, **d: (a, [i for i in b if i], {**d}, {c}))(1)
        try:
            return {**value, text: value.get(text, 0) + 1 if value else -1}
        except (ValueError, KeyError) as error:
            raise TypeError from error


def test_the_hashes_are_those_of_every_version_and_every_python() -> None:
    """Were they to change, every deploy would fold its logs again, or halt where they were compacted."""
    assert fold_hash(Elaborate.fold) == "b9b92c012ec2022c"
    assert type_hash(Wider) == "f17b923afd37d4d7"
    assert type_hash(dict[str, list[int | None]]) == "a8028c60618d8a98"


@attrs.frozen(kw_only=True)
class Priced:
    amount: int = attrs.field(validator=attrs.validators.gt(0))
    tags: list[str] = attrs.field(factory=list)
    event_version: ClassVar = 2
    event_upcasters: ClassVar = {1: lambda old: {"amount": old}}

    def __attrs_post_init__(self) -> None:
        assert self.amount

    def fold(self, value: int) -> int:
        return value


@attrs.frozen(kw_only=True)
class PricedLower(Priced):
    amount: int = attrs.field(validator=attrs.validators.gt(-9))


class PricedOtherwise(Priced):
    event_upcasters: ClassVar = {1: lambda old: {"amount": -old}}


def test_how_an_event_is_read_is_known_by_fields_versions_and_validation() -> None:
    reading = reading_of(EventType.of(Priced))
    assert reading == Reading(
        reading.rules, {"amount": "51f9b6b5b43f8595", "tags": "8a5c986983326cef"}, ["amount"]
    )
    assert reading_of(EventType.of(PricedLower)).rules != reading.rules
    assert reading_of(EventType.of(PricedOtherwise)).rules != reading.rules


def test_a_fold_without_source_has_a_hash() -> None:
    names: dict[str, Callable[..., Any]] = {}
    exec("def one(self, v): return v + 1\ndef two(self, v): return v + 2", names)
    assert fold_hash(names["one"]) != fold_hash(names["two"])
    assert fold_hash(names["one"]) == fold_hash(names["one"])


@dataclass
class Node:
    name: str
    children: list[Node]


@dataclass
class Renamed:
    name: str
    children: list[Renamed]


@dataclass
class Wider:
    name: str
    children: list[Wider]
    age: int


def test_a_type_is_its_structure() -> None:
    assert type_hash(Node) == type_hash(Renamed)
    assert type_hash(Node) != type_hash(Wider)
    assert (
        len({type_hash(one) for one in (list, list[int], set[int], dict[str, int], tuple[int, ...], int, float)})
        == 7
    )
    assert type_hash(int | None) == type_hash(None | int)


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    script = "from tests.declarations.test_fingerprints import *; print(fold_hash(Plain.fold), type_hash(Wider), reading_of(EventType.of(Priced)).rules)"
    found = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [
        fold_hash(Plain.fold),
        type_hash(Wider),
        reading_of(EventType.of(Priced)).rules,
    ]


@dataclass(frozen=True)
class Tick:
    def fold(self, value: int) -> int:
        return value + 1


@pytest.mark.parametrize(
    "options", [{"version": 0}, {"version": True}, {"version": "2"}, {"snapshot_interval": -1}, {"compact": "no"}]
)
def test_bad_options_are_refused(options: Any) -> None:
    with registry.isolated():

        class Odd(State):
            ticks = StateAppEvents(Tick, key="ticks", **options)

        assert [one.id for one in run_checks(tags=["via_state"])] == ["via_state.E014"]


@pytest.mark.parametrize("version", ["2", 0, 1.0, True, None])
def test_a_cell_of_which_the_version_is_none_is_refused_before_anything_is_written(version: Any) -> None:
    with registry.isolated():

        class Odd(State):
            app = StateApp(int, version=version)
            sess = StateSess(int, version=version)
            user = StateUser(int, version=version)

        assert [one.id for one in run_checks(tags=["via_state"])][:3] == ["via_state.E014"] * 3
        with pytest.raises(DeclarationError, match="version="):
            Odd.app.set(4)


@pytest.mark.parametrize(
    ("options", "id"), [({"key": 5}, "E002"), ({"retired": 5}, "E009"), ({"retired": [1]}, "E009")]
)
def test_options_of_another_type_are_found_by_the_checks(options: Any, id: str) -> None:
    with registry.isolated():

        class Odd(State):
            ticks = StateAppEvents(Tick, **options)

        assert [one.id for one in run_checks(tags=["via_state"])] == [f"via_state.{id}"]


def test_an_unknown_option_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="no option 'retries'"):
        StateAppEvents(Tick, retries=3)  # type: ignore[call-overload]


def test_bad_migrations_are_refused() -> None:
    with registry.isolated():

        class Odd(State):
            ticks = StateAppEvents(Tick, key="ticks", version=2)

        with pytest.raises(DeclarationError, match="two different version numbers"):
            Odd.ticks.migration(2, 2)
        Odd.ticks.migration(1, 2)(int)
        with pytest.raises(DeclarationError, match="two migrations from version 1 to 2"):
            Odd.ticks.migration(1, 2)(float)


class Opaque:
    pass


@dataclass(frozen=True)
class Put:
    def fold(self, value: Opaque) -> Opaque:
        return value


@dataclass(frozen=True)
class Stamp:
    def fold(self, value: datetime) -> datetime:
        return value


def test_a_value_that_can_not_be_stored_is_warned_about_unless_that_is_wanted() -> None:
    with registry.isolated():

        class Odd(State):
            opaque = StateAppEvents(Put, key="opaque")
            wanted = StateAppEvents(Put, key="wanted", snapshot_interval=0)
            clock = StateAppEvents(Stamp, key="clock", default=datetime.now)

        found = run_checks(tags=["via_state"])
        assert [(one.id, str(one.obj)) for one in found] == [
            ("via_state.W003", "tests.Odd.opaque"),
            ("via_state.W003", "tests.Odd.clock"),
        ]
        assert "makes another value each time" in found[1].msg
