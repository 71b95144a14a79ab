"""The verbs of a log of events and of the value that they fold to, whoever it belongs to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Protocol, Required, TypedDict, TypeVar, Unpack, cast, overload

from asgiref.sync import sync_to_async

from via_state.core.delivery import Retry
from via_state.core.offsets import Offset
from via_state.core.records import GENESIS
from via_state.core.specs import LogSpec
from via_state.declarations.catalog import Decorator, add_handler
from via_state.declarations.handle import Handle
from via_state.declarations.initial import MISSING
from via_state.declarations.log_definition import LogDefinition, LogOptions, classes_in
from via_state.declarations.scope import Place
from via_state.exceptions import DeclarationError, EventRefused, NotCaughtUp
from via_state.handlers.declaration import Delivery, HandlerSpec, Start
from via_state.pod.reading.projector import ProjectionStatus

if TYPE_CHECKING:
    from typing_extensions import TypeForm

V = TypeVar("V")
M = TypeVar("M", bound=Callable[[Any], Any])
E_co = TypeVar("E_co", covariant=True)
N1 = TypeVar("N1")
N2 = TypeVar("N2")
N3 = TypeVar("N3")


class HandlerOptions(TypedDict, total=False):
    """Options of an event handler."""

    retry: Retry
    dead_letter: Callable[[Any, Delivery, Exception], Any] | None
    atomic: bool
    start: Start
    concurrency: int | None
    timeout: float | None
    batch: int


class Foldable(Protocol[V]):
    """An event, to a type checker: ``fold`` makes the new value of the old one."""

    def fold(self, value: V, /) -> V:
        """The new value. Pure, and without changing ``value``."""
        ...


class Folds(Foldable[V]):
    """Stands in a union of events for what ``value=`` says. There are no objects of it."""


#: The events of a declaration, for its constructor: a union in the first, or two to four classes.
E1 = TypeVar("E1", bound="Foldable[Any]")
E2 = TypeVar("E2", bound="Foldable[Any]")
E3 = TypeVar("E3", bound="Foldable[Any]")
E4 = TypeVar("E4", bound="Foldable[Any]")


class FoundValue(LogOptions, total=False):
    """Options of a log whose value type is found in the events' folds."""

    default: object


class GivenValue(LogOptions, Generic[V], total=False):
    """Options of a log whose value type is given."""

    value: Required[type[V]]
    default: V | Callable[[], V]


class EventLog(Handle[LogSpec[Any]], Generic[E_co]):
    """An append-only log, and the value that its events fold to.

    Give the event classes as a union, or up to four one by one: dataclasses, msgspec Structs or attrs classes with a pure method
    ``fold``, which takes the old value and returns the new one. ``value`` is the type of the value; without it the annotation
    of fold's first parameter says it. ``default`` is the value before the first event, or a function that makes it; without it
    the type is called without arguments. ``key`` is the wire key, the lower-cased field name otherwise; parameters in it
    declare a family: ``key="room.{room}"``. ``retired`` are stored names of events that no class stands for any more;
    they fold to nothing. ``version`` counts the meanings of the value; raise it when the folds or the value's type
    change. ``snapshot_interval``: folds between two snapshots, instead of what ``SNAPSHOT_INTERVAL`` says; 0 for none.
    ``compact=False`` keeps all records for ever.
    """

    definition: LogDefinition
    setter = "append"

    def __init__(
        self, *events: Any, value: Any = MISSING, default: Any = MISSING, **options: Unpack[LogOptions]
    ) -> None:
        unknown = options.keys() - LogOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {unknown.pop()!r}.")
        super().__init__(
            LogDefinition(type(self).__name__, self.scope, classes_in(events), value, default, options)
        )

    def migration(self, before: int, after: int) -> Callable[[M], M]:
        """Decorate the function that makes a folded value of version ``before`` one of version ``after``.

        It gets the old value as JSON builtins and returns the new one. It runs once for a log, where records that this
        code would have to fold again were discarded; elsewhere the log is folded again. Raises `DeclarationError`.
        """
        return self.definition.migration(before, after)

    @overload
    def on_event(self, name: str, /, **options: Unpack[HandlerOptions]) -> Decorator[E_co]: ...
    @overload
    def on_event(self, name: str, e1: TypeForm[N1], /, **options: Unpack[HandlerOptions]) -> Decorator[N1]: ...
    @overload
    def on_event(
        self, name: str, e1: type[N1], e2: type[N2], /, **options: Unpack[HandlerOptions]
    ) -> Decorator[N1 | N2]: ...
    @overload
    def on_event(
        self, name: str, e1: type[N1], e2: type[N2], e3: type[N3], /, **options: Unpack[HandlerOptions]
    ) -> Decorator[N1 | N2 | N3]: ...
    def on_event(self, name: str, /, *events: Any, **options: Unpack[HandlerOptions]) -> Decorator[Any]:
        """Decorate a function that is called for every event, or for those of some types: a side effect.

        It runs at least once for each, in order, on one worker at a time, for each key of a family by itself: sync or
        async, called with the event and a `Delivery`. What it raises is a failure, and is tried again as ``retry`` says;
        events after it wait. `RetryAfter` and `Poison` say more. ``dead_letter(event, delivery, error)`` is called before a
        record is given up. ``atomic`` puts what it writes to ``DATABASE`` and its position into one transaction: exactly
        once. ``concurrency``: how many of its keys a worker handles at once, so that a slow handler leaves threads to others.
        ``timeout``: seconds after which a delivery of an async function is ended, and has failed. ``batch``: how many records of a key
        an ``atomic`` handler has in one transaction, at most. ``start``: a new handler begins with the "first" record that is still there, or after the "head".
        The position is kept under ``name``, which must stay. Where a log has ``value=``, name the types, so that a type
        checker knows them. Raises `DeclarationError`.
        """
        given: object = name
        if not isinstance(given, str):
            written = getattr(given, "__name__", repr(given))
            raise DeclarationError(
                f"on_event of {self} was given {written!r} instead of a name. Write @….on_event({written!r}): the handler's "
                "position is kept under that name."
            )
        if self._member is not None or self._owner is not None:
            raise DeclarationError(f"on_event({name!r}): declare it on {self}, not on one of its members.")

        def make(function: Callable[[Any, Delivery], Any]) -> HandlerSpec:
            return HandlerSpec(name, function, classes_in(events), **options)

        return add_handler(self.definition, make)

    def append(self, event: E_co, *, wait: bool = True) -> Offset:  # type: ignore[misc]  # covariant: see read
        """Append one event. Durable when it returns, and folded where this pod projects the key.

        ``wait=False`` does not wait for the fold, whose time is bounded anyway. Raises `EventRefused`, `AppendTooLarge`,
        `BackplaneUnavailable` when nothing was written, and `AppendOutcomeUnknown`; for a log of a session `SessionEnded` and
        `SessionRequired`, of a user `UserRequired`.
        """
        return self._append("append", (event,), wait)[0]

    async def aappend(self, event: E_co, *, wait: bool = True) -> Offset:  # type: ignore[misc]
        """`append`, awaited."""
        return (await self._aappend((event,), wait))[0]

    def append_many(self, events: Iterable[E_co], *, wait: bool = True) -> Sequence[Offset]:
        """Append events in this order, all or none. Raises as `append` does."""
        return self._append("append_many", _sequence(events), wait)

    async def aappend_many(self, events: Iterable[E_co], *, wait: bool = True) -> Sequence[Offset]:
        """`append_many`, awaited."""
        return await self._aappend(_sequence(events), wait)

    def append_on_commit(self, event: E_co) -> None:  # type: ignore[misc]
        """Append with the caller's database transaction, or not at all; at once where there is no transaction.

        Raises `EventRefused` and `AppendTooLarge` here, not at the commit.
        """
        place = cast(Place, self.scope.place(self, "append_on_commit", writes=True))
        self._on().append_on_commit(place.key, self.definition.spec(), (event,))

    async def aappend_on_commit(self, event: E_co) -> None:  # type: ignore[misc]
        """`append_on_commit` on the thread where Django's async methods use the database."""
        await sync_to_async(self.append_on_commit)(event)

    def read(self: EventLog[Foldable[V]], *, at_least: Offset | None = None, timeout: float | None = None) -> V:
        """The folded value, O(1) once this pod has loaded it. Don't change it: it is the pod's own.

        With ``at_least``, waits until this pod has folded that offset: at most ``timeout`` seconds, or what
        ``READ_TIMEOUT`` says. It is what `append` returned, or `Offset.parse` read. Raises `NotCaughtUp`, `EpochChanged`,
        `InvalidOffset`, and `KeyHalted` when there is no good value. Never creates a session.
        """
        place = self.scope.place(self, "read", writes=False)
        if place is None or not (place.written or at_least):
            return cast(V, self._initial(at_least))
        value: V = self._on().read(place.key, self.definition.spec(), at_least=at_least, timeout=timeout)
        return value

    async def aread(
        self: EventLog[Foldable[V]], *, at_least: Offset | None = None, timeout: float | None = None
    ) -> V:
        """`read`, awaited."""
        place = await self.scope.aplace(self, writes=False)
        if place is None or not (place.written or at_least):
            return cast(V, self._initial(at_least))
        return await self._on().aread(place.key, self.definition.spec(), at_least=at_least, timeout=timeout)

    async def changes(self: EventLog[Foldable[V]]) -> AsyncGenerator[V, None]:
        """The value now, then each newer one; a slow reader misses values in between, never the newest.

        Where there is no session state yet, or no user, nothing can change it from here: it gives the initial value and
        ends.
        """
        place = await self.scope.aplace(self, writes=False)
        if place is None:
            yield self._initial()
            return
        async with aclosing(self._on().changes(place.key, self.definition.spec())) as values:
            async for value in values:
                yield value

    def status(self) -> ProjectionStatus:
        """Where this pod's projection is, and why it is halted if it is."""
        place = self.scope.place(self, "status", writes=False)
        return _empty(self._initial()) if place is None else self._on().status(place.key, self.definition.spec())

    async def astatus(self) -> ProjectionStatus:
        """`status`, awaited."""
        place = await self.scope.aplace(self, writes=False)
        if place is None:
            return _empty(self._initial())
        return await self._on().astatus(place.key, self.definition.spec())

    def _append(self, verb: str, events: Sequence[object], wait: bool) -> Sequence[Offset]:
        place = cast(Place, self.scope.place(self, verb, writes=True))
        offsets = self._on().append(place.key, self.definition.spec(), events, wait=wait)
        self.scope.appended(self, place)
        return offsets

    async def _aappend(self, events: Sequence[object], wait: bool) -> Sequence[Offset]:
        place = cast(Place, await self.scope.aplace(self, writes=True))
        offsets = await self._on().aappend(place.key, self.definition.spec(), events, wait=wait)
        await self.scope.aappended(self, place)
        return offsets

    def _initial(self, at_least: Offset | None = None) -> Any:
        """The value of a log that nobody has. Raises `NotCaughtUp` for an offset, which it will not reach."""
        if at_least is not None:
            raise NotCaughtUp(
                f"{self}: there is no log to wait for, because nobody is signed in, or the session has no state. Read without "
                "at_least."
            )
        return self.definition.spec().initial()


def _empty(initial: Any) -> ProjectionStatus:
    """The status of a log that nobody has."""
    return ProjectionStatus(GENESIS, None, initial)


def _sequence(events: Iterable[object]) -> Sequence[object]:
    if not isinstance(events, Iterable):
        raise EventRefused(
            f"append_many takes several events, and was given a {type(events).__name__}. Write append(...) for one."
        )
    return events if isinstance(events, list | tuple) else list(events)
