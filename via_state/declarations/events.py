"""`StateAppEvents`: an append-only log of events for everybody, folded into a value."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar, get_type_hints, overload

from asgiref.sync import sync_to_async

from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.offsets import Offset
from via_state.core.specs import LogSpec
from via_state.declarations.base import Declaration
from via_state.declarations.zero import UNSET, zero_factory
from via_state.exceptions import DeclarationError
from via_state.pod.projector import ProjectionStatus

V = TypeVar("V")
F = TypeVar("F")
# Covariant, although `append` takes one: only so does StateAppEvents[AddItem] match StateAppEvents[Foldable[V]], which
# is how `read` finds V. A declaration is never used as a broader one, so nothing unsound comes of it.
E_co = TypeVar("E_co", covariant=True)
E1 = TypeVar("E1")
E2 = TypeVar("E2")
E3 = TypeVar("E3")
E4 = TypeVar("E4")
E5 = TypeVar("E5")
E6 = TypeVar("E6")


class Foldable(Protocol[F]):
    """An event: ``fold`` gives the new value for the old one. Pure: no clock, no randomness, no I/O, no globals."""

    def fold(self, value: F, /) -> F: ...


class StateAppEvents(Declaration, Generic[E_co]):
    """``items = StateAppEvents(AddItem)``: events are appended, every pod folds them in the same order.

    Positional arguments: the event classes. ``key``: the wire key, or a family's template (``room.{room}``).
    ``value``: the value's type, if ``fold``'s annotation should not decide. ``default``: the value before the first
    event, or a function that makes it; otherwise the type called without arguments. ``retired``: stored names of
    events that have no class any more and fold to nothing.
    """

    kind = "log"

    @overload
    def __init__(
        self: StateAppEvents[E1], e1: type[E1], /, *,
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2], e1: type[E1], e2: type[E2], /, *,
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3], e1: type[E1], e2: type[E2], e3: type[E3], /, *,
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | E4], e1: type[E1], e2: type[E2], e3: type[E3], e4: type[E4], /, *,
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | E4 | E5],
        e1: type[E1], e2: type[E2], e3: type[E3], e4: type[E4], e5: type[E5], /, *,
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | E4 | E5 | E6],
        e1: type[E1], e2: type[E2], e3: type[E3], e4: type[E4], e5: type[E5], e6: type[E6], /, *rest: type[Any],
        key: str | None = ..., value: Any = ..., default: Any = ..., retired: Iterable[str] = ...,
    ) -> None: ...  # fmt: skip

    def __init__(
        self,
        *events: type[Any],
        key: str | None = None,
        value: Any = UNSET,
        default: Any = UNSET,
        retired: Iterable[str] = (),
    ) -> None:
        super().__init__(key)
        self.event_classes = events
        self._value = value
        self._default = default
        self._retired = (retired,) if isinstance(retired, str) else tuple(retired)

    def resolve(self) -> None:
        self.template.check()
        self.spec  # noqa: B018 - made for its error

    def identity(self) -> object:
        return set(self.event_classes), self.value_type

    @property
    def value_type(self) -> Any:
        """The type of the folded value. Raises `DeclarationError` where the annotations do not give one."""
        if self._value is not UNSET:
            return self._value
        found = [_folded_type(self, event) for event in self.event_classes]
        if all(one == found[0] for one in found):
            return found[0]
        types = ", ".join(sorted({repr(one) for one in found}))
        raise DeclarationError(
            f"{self}: the events fold different types ({types}). Fold one type, or give value=."
        )

    @property
    def spec(self) -> LogSpec[Any]:
        """What the pod needs to know."""
        if not self._resolved:
            if not self.event_classes:
                raise DeclarationError(f"{self} has no events. Write StateAppEvents(AddItem).")
            try:
                codec = EventCodec([EventType.of(event) for event in self.event_classes], self._retired)
            except TypeError as error:
                raise DeclarationError(f"{self}: {error}") from error
            zero = zero_factory(str(self), self.value_type, self._default)
            self._resolved["spec"] = LogSpec(self.template.text, codec, zero, self.family)
        spec: LogSpec[Any] = self._resolved["spec"]
        return spec

    # Verbs ------------------------------------------------------------------------------------------------

    def append(self, event: E_co, *, wait: bool = True) -> Offset:  # type: ignore[misc]  # see E_co
        """Append one event; durable when it returns, and folded where this pod projects the key.

        ``wait=False`` does not wait for the fold. Raises `EventRefused`, `AppendTooLarge`, `BackplaneUnavailable`
        (nothing was written) and `AppendOutcomeUnknown`.
        """
        return self.pod.append(self.key, self.spec, (event,), wait=wait)[0]

    async def aappend(self, event: E_co, *, wait: bool = True) -> Offset:  # type: ignore[misc]
        """`append`, awaited. Cancelling it does not take an append back that was sent already."""
        return (await self.pod.aappend(self.key, self.spec, (event,), wait=wait))[0]

    def append_many(self, events: Iterable[E_co], *, wait: bool = True) -> Sequence[Offset]:
        """Append several events at once, all or none; their offsets in order. Raises as `append` does."""
        return self.pod.append(self.key, self.spec, tuple(events), wait=wait)

    async def aappend_many(self, events: Iterable[E_co], *, wait: bool = True) -> Sequence[Offset]:
        """`append_many`, awaited."""
        return await self.pod.aappend(self.key, self.spec, tuple(events), wait=wait)

    def append_on_commit(self, event: E_co) -> None:  # type: ignore[misc]
        """Append with the database transaction that this runs in, or not at all; at once outside a transaction.

        The event reaches the log right after the commit, by this process or, if it dies, by another one. With the
        memory backplane a process that dies in between loses it. Raises `EventRefused` and `AppendTooLarge` at once.
        """
        self.pod.append_on_commit(self.key, self.spec, (event,))

    async def aappend_on_commit(self, event: E_co) -> None:  # type: ignore[misc]
        """`append_on_commit`, awaited: runs on the thread of Django's connections, as the async ORM does."""
        await sync_to_async(self.append_on_commit)(event)

    def read(
        self: StateAppEvents[Foldable[V]], *, at_least: Offset | None = None, timeout: float | None = None
    ) -> V:
        """This pod's folded value; treat it as immutable. The zero value before the first event.

        ``at_least``: wait until this offset is folded, ``timeout`` seconds at most. Raises `NotCaughtUp`,
        `EpochChanged`, `KeyHalted` and, on first use, `BackplaneUnavailable`.
        """
        value: V = self.pod.read(self.key, self.spec, at_least=at_least, timeout=timeout)
        return value

    async def aread(
        self: StateAppEvents[Foldable[V]], *, at_least: Offset | None = None, timeout: float | None = None
    ) -> V:
        """`read`, awaited."""
        value: V = await self.pod.aread(self.key, self.spec, at_least=at_least, timeout=timeout)
        return value

    async def changes(self: StateAppEvents[Foldable[V]]) -> AsyncIterator[V]:
        """The value now, then each newer one; a slow reader misses values in between, never the newest."""
        async for value in self.pod.changes(self.key, self.spec):
            yield value

    def status(self) -> ProjectionStatus:
        """Where this pod's projection stands, and why it stands still if it does."""
        return self.pod.status(self.key, self.spec)

    async def astatus(self) -> ProjectionStatus:
        """`status`, awaited."""
        return await self.pod.astatus(self.key, self.spec)


def _folded_type(declaration: StateAppEvents[Any], event: Any) -> Any:
    """The annotation of the first parameter of an event's fold, after self."""
    fold = getattr(event, "fold", None)
    name = getattr(event, "__name__", repr(event))
    if not callable(fold):
        raise DeclarationError(f"{declaration}: {name} has no fold. Write: def fold(self, value: V) -> V")
    try:
        hints = get_type_hints(fold)
    except Exception as error:
        raise DeclarationError(
            f"{declaration}: the annotations of {name}.fold can't be resolved ({error}). "
            "Import what they name at run time, or give value=."
        ) from error
    parameters = fold.__code__.co_varnames[1 : fold.__code__.co_argcount]
    if not parameters or parameters[0] not in hints:
        raise DeclarationError(
            f"{declaration}: {name}.fold does not say what it folds. Write: def fold(self, value: list[str]) -> list[str]"
        )
    return hints[parameters[0]]
