"""The definition of a value that is folded from events."""

from __future__ import annotations

from typing import Any, Self

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.fidelity import field_names
from via_state.core.specs import LogSpec
from via_state.declarations.definition import Definition
from via_state.declarations.problems import Problem, problem_of
from via_state.declarations.value_types import folded_type, refuse_undecodable
from via_state.declarations.zero import MISSING, make_zero
from via_state.exceptions import DeclarationError


class LogDefinition(Definition[LogSpec[Any]]):
    """``value`` is the value type, or `MISSING` to find it in the events' folds."""

    def __init__(
        self,
        kind: str,
        scope: str,
        key: str | None,
        events: tuple[Any, ...],
        value: Any,
        default: Any,
        retired: Any,
    ) -> None:
        super().__init__(kind, scope, key)
        self.events = events
        self.value = value
        self.default = default
        self.retired = retired
        self._value_type: Any = MISSING

    def copy(self) -> Self:
        return type(self)(
            self.kind, self.scope, self.explicit_key, self.events, self.value, self.default, self.retired
        )

    def _make_spec(self) -> LogSpec[Any]:
        if isinstance(self.retired, str) or not all(isinstance(name, str) for name in self.retired):
            raise Problem(
                "E009", f"retired= is {self.retired!r}.", "Give a tuple of stored event names: ('OldEvent',)."
            ).error()
        if not self.events:
            raise Problem(
                "E003", "It has no events.", f"Write {self.kind}(AddItem), with one class or more."
            ).error()
        types = [_event_type(event) for event in self.events]
        try:
            codec = EventCodec(types, self.retired)
        except DeclarationError as error:
            raise problem_of(error, "E009").error() from None
        self._value_type = folded_type(self.events) if self.value is MISSING else self.value
        zero = make_zero(self._value_type, self.default)
        return LogSpec(self.template().text, codec, zero, self.template().family)

    def agreement(self) -> tuple[object, ...]:
        spec = self.built()
        return frozenset(self.events), spec.events.retired, self._value_type, spec.zero()


def _event_type(event: Any) -> EventType:
    name = getattr(event, "__name__", repr(event))
    if field_names(event) is None:
        raise Problem(
            "E003", f"{name} can't be an event.", "Declare it as a dataclass, a msgspec.Struct or an attrs class."
        ).error()
    if not callable(getattr(event, "fold", None)):
        raise Problem(
            "E004",
            f"The event {name} has no fold.",
            "Write: def fold(self, value: V) -> V, a pure function of the old value.",
        ).error()
    refuse_undecodable(event, f"The event {name}")
    try:
        return EventType.of(event)
    except DeclarationError as error:
        raise problem_of(error, "E009").error() from None
