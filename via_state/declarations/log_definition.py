"""The definition of a value that is folded from events."""

from __future__ import annotations

import inspect
import types
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, MutableMapping
from typing import Any, Self, TypedDict, TypeVar, Union, get_args, get_origin

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.fidelity import field_names
from via_state.core.snapshots import Migration, SnapshotSpec
from via_state.core.specs import LogSpec
from via_state.core.values import ValueCodec
from via_state.declarations.definition import Definition
from via_state.declarations.fingerprints import manifest_of
from via_state.declarations.initial import MISSING, make_initial
from via_state.declarations.problems import Problem, is_whole, problem_of, refuse_bad_version
from via_state.declarations.scope import Scope
from via_state.declarations.value_types import folded_type, refuse_undecodable
from via_state.exceptions import DeclarationError, ValueRefused
from via_state.handlers.declaration import HandlerSpec
from via_state.runtime.signatures import fault_of

M = TypeVar("M", bound=Migration)


class LogOptions(TypedDict, total=False):
    """Options of a log that say nothing about types."""

    key: str | None
    retired: Iterable[str]
    version: int
    snapshot_interval: int | None
    compact: bool


class LogDefinition(Definition[LogSpec[Any]]):
    """``value`` is the value type, or `MISSING` to find it in the events' folds."""

    def __init__(
        self,
        kind: str,
        scope: Scope,
        events: tuple[Any, ...],
        value: Any,
        default: Any,
        options: LogOptions,
        migrations: MutableMapping[tuple[int, int], Migration] | None = None,
        handlers: MutableMapping[str, HandlerSpec] | None = None,
    ) -> None:
        super().__init__(kind, scope, options.get("key"))
        self.events = events
        self.value = value
        self.default = default
        self.options = options
        self.migrations = {} if migrations is None else migrations
        self.handlers = {} if handlers is None else handlers
        self._value_type: Any = MISSING
        #: Why its value can't be stored in a snapshot, once that was looked into.
        self.unstorable: Problem | None = None

    def copy(self) -> Self:
        migrations, handlers = ChainMap({}, self.migrations), ChainMap({}, self.handlers)
        return type(self)(
            self.kind, self.scope, self.events, self.value, self.default, self.options, migrations, handlers
        )

    def migration(self, before: int, after: int) -> Callable[[M], M]:
        """See `EventLog.migration`."""
        if not is_whole(before, 1) or not is_whole(after, 1) or before == after:
            raise DeclarationError(
                f"migration({before!r}, {after!r}) of {self}: give two different version numbers from 1."
            )

        def register(function: M) -> M:
            if fault := fault_of(function, "value", sync=True):
                raise DeclarationError(f"The migration from version {before} to {after} of {self} {fault}.")
            if self.migrations.setdefault((before, after), function) is not function:
                raise DeclarationError(f"{self} has two migrations from version {before} to {after}. Remove one.")
            return function

        return register

    def _make_spec(self) -> LogSpec[Any]:
        retired = self.options.get("retired", ())
        if (
            isinstance(retired, str)
            or not isinstance(retired, Collection)
            or not all(isinstance(name, str) for name in retired)
        ):
            raise Problem(
                "E009", f"retired= is {retired!r}.", "Give a tuple of stored event names: ('OldEvent',)."
            ).error()
        if not self.events:
            raise Problem(
                "E003", "It has no events.", f"Write {self.kind}(AddItem), with one class or more."
            ).error()
        event_types = [_event_type(event) for event in self.events]
        try:
            codec = EventCodec(event_types, retired)
        except DeclarationError as error:
            raise problem_of(error, "E009").error() from None
        self._value_type = folded_type(self.events) if self.value is MISSING else self.value
        for event_type in event_types:
            _refuse_uncallable(event_type)
        initial = make_initial(self._value_type, self.default)
        wire = self.wire()
        snapshots = self._snapshots(codec, initial)
        return LogSpec(wire.text, codec, initial, wire.family, snapshots, wire.parse)

    def _snapshots(self, events: EventCodec, initial: Callable[[], Any]) -> SnapshotSpec[Any] | None:
        version, interval = self.options.get("version", 1), self.options.get("snapshot_interval")
        refuse_bad_version(version)
        compact = self.options.get("compact", True)
        if not isinstance(compact, bool):
            raise Problem("E014", f"compact= is {compact!r}.", "Write True or False.").error()
        if interval is not None and not is_whole(interval, 0):
            hint = "Give the number of folds between two snapshots, or 0 for none."
            raise Problem("E014", f"snapshot_interval= is {interval!r}.", hint).error()
        try:
            refuse_undecodable(self._value_type, "The value")
            codec = ValueCodec[Any](self._value_type)
            codec.encode(initial())
            manifest = manifest_of(version, codec, initial(), events.types, events.retired)
        except DeclarationError as error:
            self.unstorable = problem_of(error)
        except ValueRefused as error:
            self.unstorable = Problem("W003", f"Its initial value: {error}.", "")
        else:
            if manifest.initial == codec.digest(initial()):
                return SnapshotSpec(codec, manifest, self.migrations, interval, compact)
            self.unstorable = Problem(
                "W003", "default= makes another value each time.", "Make it the same always."
            )
        return None

    def agreement(self) -> tuple[object, ...]:
        spec = self.built()
        rest = tuple(self.options.get(name) for name in ("version", "snapshot_interval", "compact"))
        return frozenset(self.events), spec.events.retired, self._value_type, spec.initial(), rest


def _refuse_uncallable(event_type: EventType) -> None:
    """Raise `DeclarationError` for a fold or an upcaster that would fail, or do nothing, whenever it is called."""
    event = event_type.event
    own = ("self", "value")[isinstance(inspect.getattr_static(event, "fold"), staticmethod | classmethod) :]
    if fault := fault_of(event.fold, *own, sync=True):
        hint = "Write: def fold(self, value: V) -> V, a pure function of the old value."
        raise Problem("E004", f"{event.__name__}.fold {fault}.", hint).error()
    for version, step in event_type.upcasters.items():
        if fault := fault_of(step, "payload", sync=True):
            what = f"The upcaster of {event.__name__} from version {version}"
            raise Problem("E009", f"{what} {fault}.", "Write a pure function of the payload.").error()


def classes_in(events: Iterable[Any]) -> tuple[Any, ...]:
    """The classes that are named: by themselves, in a union ``Posted | Left``, or in an alias of one."""
    found: list[Any] = []
    for one in events:
        while hasattr(one, "__value__"):  # type Event = Posted | Left
            one = one.__value__
        found += classes_in(get_args(one)) if get_origin(one) in (Union, types.UnionType) else [one]
    return tuple(found)


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
