"""What a class says about itself as an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import attrs
import msgspec
import pytest

from via_state.core.event_types import EventType
from via_state.exceptions import DeclarationError


@dataclass
class Plain:
    def fold(self, value: int) -> int:
        return value


class Structured(msgspec.Struct):
    event_name = "structured"
    aliases = ("Struct", "Structure")
    event_version = 3
    event_upcasters: ClassVar[dict[int, Callable[[Any], Any]]] = {1: dict, 2: dict}

    def fold(self, value: int) -> int:
        return value


@attrs.define
class Attributed:
    text: str

    def fold(self, value: int) -> int:
        return value


def test_the_stored_name_is_the_class_name_unless_the_class_says_otherwise() -> None:
    assert EventType.of(Plain) == EventType(Plain, "Plain", (), 1, {})
    assert EventType.of(Attributed).name == "Attributed"
    assert EventType.of(Structured) == EventType(
        Structured, "structured", ("Struct", "Structure"), 3, {1: dict, 2: dict}
    )


def of(**attributes: Any) -> EventType:
    """An event class with these attributes."""
    return EventType.of(type("Tick", (Plain,), attributes))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"fold": None}, "has no fold"),
        ({"event_name": ""}, "event_name is ''"),
        ({"event_name": 7}, "event_name is 7"),
        ({"aliases": "Old"}, "Give a tuple of names"),
        ({"aliases": ("Old", "")}, "Give a tuple of names"),
        ({"aliases": 7}, "Give a tuple of names"),
        ({"event_version": 0}, "whole number from 1"),
        ({"event_version": True}, "whole number from 1"),
        ({"event_version": "2"}, "whole number from 1"),
        ({"event_version": 2, "event_upcasters": [dict]}, "Give a dict from a version"),
        ({"event_version": 2, "event_upcasters": {1: "dict"}}, "Give a dict from a version"),
        ({"event_upcasters": {1: dict}}, "Raise event_version"),
        ({"event_version": 2, "event_upcasters": {2: dict}}, "Raise event_version"),
        ({"event_version": 2, "event_upcasters": {0: dict}}, "Raise event_version"),
    ],
)
def test_a_class_that_can_not_be_an_event_is_refused(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        of(**attributes)


class NoFields:
    def fold(self, value: int) -> int:
        return value


@pytest.mark.parametrize("event", [NoFields, int, Plain(), None])
def test_only_classes_with_fields_are_events(event: Any) -> None:
    with pytest.raises(DeclarationError, match="is not an event"):
        EventType.of(event)


@dataclass(slots=True)
class NameAsField:
    event_name: str = "name"

    def fold(self, value: int) -> int:
        return value


class AliasesAsField(msgspec.Struct):
    aliases: list[str]

    def fold(self, value: int) -> int:
        return value


@attrs.define
class VersionAsField:
    event_version: int = 2

    def fold(self, value: int) -> int:
        return value


@pytest.mark.parametrize("event", [NameAsField, AliasesAsField, VersionAsField])
def test_an_attribute_that_became_a_field_is_not_ignored(event: type) -> None:
    with pytest.raises(DeclarationError, match="is a field"):
        EventType.of(event)


def test_upcasters_make_each_version_of_the_one_before() -> None:
    class Renamed(msgspec.Struct):
        numbers: dict[int, str]

        def fold(self, value: int) -> int:
            return value

    steps = {
        1: lambda payload: {"number": payload["n"]},
        2: lambda payload: {"numbers": {payload["number"]: "one"}},
    }
    kind = EventType(Renamed, "Renamed", version=3, upcasters=steps)
    assert kind.upcast({"n": 1}, 1) == kind.upcast({"number": 1}, 2) == Renamed({1: "one"})
    with pytest.raises(msgspec.ValidationError):
        kind.upcast({"n": "one"}, 1)
    with pytest.raises(KeyError):
        EventType(Renamed, "Renamed", version=3, upcasters={2: steps[2]}).upcast({"n": 1}, 1)
