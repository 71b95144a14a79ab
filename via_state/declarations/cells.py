"""The verbs of current values: read, update, set, reset, changes, and their async twins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from via_state.core.cells import CellCodec
from via_state.core.specs import CellSpec
from via_state.declarations.base import Declaration
from via_state.declarations.zero import UNSET, Unset, zero_factory
from via_state.exceptions import DeclarationError
from via_state.pod.loop import refuse_in_event_loop

T = TypeVar("T")


class Place(NamedTuple, Generic[T]):
    """Where a value is stored."""

    key: str
    spec: CellSpec[T]


class CellDeclaration(Declaration, Generic[T]):
    """A value that is replaced by compare-and-swap. The class that declares it says for whom it is."""

    def __init__(
        self,
        value: type[T] | None = None,
        /,
        *,
        default: T | Callable[[], T] | Unset = UNSET,
        key: str | None = None,
        version: int = 1,
    ) -> None:
        super().__init__(key)
        self._argument = value
        self._default = default
        self._version = version

    def resolve(self) -> None:
        """Raise `DeclarationError` if this declaration can't work."""
        self.template.check()
        self.spec  # noqa: B018 - made for its error

    def identity(self) -> object:
        return self.value_type, self._version

    @property
    def value_type(self) -> Any:
        """The declared type: the argument, or the type between the brackets."""
        if self._argument is not None:
            return self._argument
        arguments = getattr(getattr(self, "__orig_class__", None), "__args__", ())
        if arguments:
            return arguments[0]
        name = type(self).__name__
        raise DeclarationError(f"{self} has no type. Write {name}(str), or {name}[int | None](default=None).")

    @property
    def spec(self) -> CellSpec[T]:
        """What the pod needs to know."""
        if not self._resolved:
            what = str(self)
            try:
                codec: CellCodec[T] = CellCodec(self.value_type, self._version)
            except TypeError as error:
                raise DeclarationError(
                    f"{what}: values of {self.value_type!r} can't be stored: {error}"
                ) from error
            zero = zero_factory(what, self.value_type, self._default)
            self._resolved["spec"] = CellSpec(self.template.text, codec, zero, self.shared_declaration)
        spec: CellSpec[T] = self._resolved["spec"]
        return spec

    @property
    def shared_declaration(self) -> bool:
        """Whether this one declaration has many cells."""
        return self.family

    @abstractmethod
    def _place(self, *, write: bool) -> Place[T] | None:
        """Where the value is stored; None for a reader whose owner has none yet."""

    @abstractmethod
    async def _aplace(self, *, write: bool) -> Place[T] | None:
        """`_place`, without blocking."""

    def _must(self, place: Place[T] | None) -> Place[T]:
        assert place is not None, "a writer has a place, or gets an error"
        return place

    # Verbs ------------------------------------------------------------------------------------------------

    def read(self) -> T:
        """The value as this pod knows it; the zero value when nothing was written. Treat it as immutable."""
        if self.shared_declaration:
            refuse_in_event_loop("read", "aread")
        place = self._place(write=False)
        return self.spec.zero() if place is None else self.pod.get(*place)

    async def aread(self) -> T:
        """`read`, awaited."""
        place = await self._aplace(write=False)
        return self.spec.zero() if place is None else await self.pod.aget(*place)

    def update(self, fn: Callable[[T], T]) -> T:
        """Replace the value by ``fn(value)`` and return the new one.

        ``fn`` runs again when another writer was first, so it must have no side effects; what it raises is raised
        unchanged, and nothing is written. Raises `UpdateContended`, `UpdateOutcomeUnknown`, `ValueRefused`,
        `CellUnreadable`, `CellFromNewerVersion`, `BackplaneUnavailable`.
        """
        refuse_in_event_loop("update", "aupdate")
        return self.pod.update(*self._must(self._place(write=True)), fn)

    async def aupdate(self, fn: Callable[[T], T | Awaitable[T]]) -> T:
        """`update`, awaited; ``fn`` may be an async function."""
        return await self.pod.aupdate(*self._must(await self._aplace(write=True)), fn)

    def set(self, value: T) -> T:
        """Replace the value, whatever it is. Raises as `update` does."""
        refuse_in_event_loop("set", "aset")
        return self.pod.set(*self._must(self._place(write=True)), value)

    async def aset(self, value: T) -> T:
        """`set`, awaited."""
        return await self.pod.aset(*self._must(await self._aplace(write=True)), value)

    def reset(self, *, force: bool = False) -> None:
        """Forget the value, so that the zero value shows again. ``force`` also discards one that can't be read."""
        refuse_in_event_loop("reset", "areset")
        if (place := self._place(write=False)) is not None:
            self.pod.reset(*place, force=force)

    async def areset(self, *, force: bool = False) -> None:
        """`reset`, awaited."""
        if (place := await self._aplace(write=False)) is not None:
            await self.pod.areset(*place, force=force)

    async def changes(self) -> AsyncIterator[T]:
        """The value now, then each newer one; a slow reader misses values in between, never the newest."""
        place = await self._aplace(write=False)
        if place is None:  # an owner without state: the zero value, and nothing that could change
            yield self.spec.zero()
            return
        async for value in self.pod.cell_changes(*place):
            yield value
