"""What makes a class an event: its stored name, its version, and how older versions become the current one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from via_state.exceptions import DeclarationError

#: Turns the payload of one version (as JSON builtins) into the payload of the next. Pure.
Upcaster: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event in a log.

    ``upcasters`` maps a version to the function that makes the next one of it.
    """

    type: type[Any]
    name: str
    aliases: tuple[str, ...] = ()
    version: int = 1
    upcasters: Mapping[int, Upcaster] = field(default_factory=dict)

    @classmethod
    def of(cls, event: type[Any]) -> EventType:
        """Read a class. Its attributes ``event_name``, ``aliases`` and ``event_version`` override the class's name
        and version 1. Raises `DeclarationError` for what can't be an event.
        """
        if not isinstance(event, type) or not _has_fields(event):
            raise DeclarationError(
                f"{getattr(event, '__name__', event)!r} is not an event: "
                "declare a dataclass, a msgspec.Struct or an attrs class."
            )
        if not callable(getattr(event, "fold", None)):
            raise DeclarationError(
                f"{event.__name__} has no fold. Write: def fold(self, value: V) -> V, a pure function of the old value."
            )
        name = getattr(event, "event_name", event.__name__)
        aliases = getattr(event, "aliases", ())
        version = getattr(event, "event_version", 1)
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"{event.__name__}.event_name is {name!r}. Give a string that is not empty.")
        if isinstance(aliases, str) or not all(isinstance(alias, str) and alias for alias in aliases):
            raise DeclarationError(f"{event.__name__}.aliases is {aliases!r}. Give a tuple of names.")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise DeclarationError(f"{event.__name__}.event_version is {version!r}. Give a whole number from 1.")
        return cls(event, name, tuple(aliases), version, dict(getattr(event, "event_upcasters", {})))

    def upcast(self, payload: Any, version: int) -> Any:
        """The event of a payload (JSON builtins) of an older version. Raises whatever a step raises, or KeyError."""
        for step in range(version, self.version):
            payload = self.upcasters[step](payload)
        return msgspec.convert(payload, self.type)


def _has_fields(event: type[Any]) -> bool:
    return (
        dataclasses.is_dataclass(event) or issubclass(event, msgspec.Struct) or hasattr(event, "__attrs_attrs__")
    )
