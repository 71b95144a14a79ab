"""What makes a class an event: its stored name, its version, and how older versions become the current one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from via_state.core.fidelity import field_names
from via_state.exceptions import DeclarationError

#: Turns the payload of one version (as JSON builtins) into the payload of the next. Pure.
Upcaster: TypeAlias = Callable[[Any], Any]

#: What a class may say about itself, as attributes that are not fields.
_ATTRIBUTES = ("event_name", "aliases", "event_version", "event_upcasters")


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event in a log.

    ``upcasters`` maps a version to the function that makes the next one of it.
    """

    event: type[Any]
    name: str
    aliases: tuple[str, ...] = ()
    version: int = 1
    upcasters: Mapping[int, Upcaster] = field(default_factory=dict)

    @classmethod
    def of(cls, event: type[Any]) -> EventType:
        """Read a class. Its attributes ``event_name``, ``aliases``, ``event_version`` and ``event_upcasters`` override
        the class's name and version 1. Raises `DeclarationError` for what can't be an event.
        """
        fields = field_names(event)
        if fields is None:
            raise DeclarationError(
                f"{getattr(event, '__name__', event)!r} is not an event: "
                "declare a dataclass, a msgspec.Struct or an attrs class."
            )
        if not callable(getattr(event, "fold", None)):
            raise DeclarationError(
                f"{event.__name__} has no fold. Write: def fold(self, value: V) -> V, a pure function of the old value."
            )
        for attribute in _ATTRIBUTES:
            if attribute in fields:
                raise DeclarationError(
                    f"{event.__name__}.{attribute} is a field, which every event would carry. Annotate it as a ClassVar, "
                    "or rename the field if it is data of the event."
                )
        name = getattr(event, "event_name", event.__name__)
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"{event.__name__}.event_name is {name!r}. Give a string that is not empty.")
        aliases = getattr(event, "aliases", ())
        if (
            isinstance(aliases, str)
            or not isinstance(aliases, Collection)
            or not all(isinstance(one, str) and one for one in aliases)
        ):
            raise DeclarationError(f"{event.__name__}.aliases is {aliases!r}. Give a tuple of names.")
        version = getattr(event, "event_version", 1)
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise DeclarationError(f"{event.__name__}.event_version is {version!r}. Give a whole number from 1.")
        return cls(event, name, tuple(aliases), version, _upcasters(event, version))

    def upcast(self, payload: Any, version: int) -> Any:
        """The event of a payload (JSON builtins) of an older version. Raises whatever a step raises, or KeyError."""
        for step in range(version, self.version):
            payload = self.upcasters[step](payload)
        # By way of JSON: `msgspec.convert` refuses what the decoder takes, such as a text key for a dict[int, ...].
        return msgspec.json.decode(msgspec.json.encode(payload), type=self.event)


def _upcasters(event: type[Any], version: int) -> dict[int, Upcaster]:
    found = getattr(event, "event_upcasters", {})
    if not isinstance(found, Mapping) or not all(callable(step) for step in found.values()):
        raise DeclarationError(
            f"{event.__name__}.event_upcasters is {found!r}. Give a dict from a version to the function that makes "
            "the payload of the next one."
        )
    if beyond := [step for step in found if step not in range(1, version)]:
        raise DeclarationError(
            f"{event.__name__}.event_upcasters has a step from version {beyond[0]!r}, and event_version is {version}. "
            "Raise event_version, or remove the step."
        )
    return dict(found)
