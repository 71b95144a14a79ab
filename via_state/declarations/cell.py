"""The verbs of a value that is replaced as a whole, whoever it belongs to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args

from via_state.core.specs import CellSpec
from via_state.declarations.cell_definition import CellDefinition
from via_state.declarations.handle import Handle
from via_state.declarations.initial import MISSING
from via_state.declarations.scope import Place

T = TypeVar("T")


class Address(NamedTuple, Generic[T]):
    """Where one value is stored."""

    key: str
    spec: CellSpec[T]


class Cell(Handle[CellSpec[T]], Generic[T]):
    """A durable current value, replaced by compare-and-swap.

    ``value_type`` is anything that msgspec decodes; what is not a class goes into the subscript:
    ``StateApp[int | None](default=None)``. ``default`` is the initial value, or a function that makes it; without it the
    type is called without arguments. ``key`` is the wire key, the lower-cased field name otherwise; parameters in it
    declare a family: ``key="banner.{site}"``. Raise ``version`` when older code must not overwrite what this code writes.
    """

    definition: CellDefinition

    def __init__(
        self,
        value_type: type[T] = MISSING,
        /,
        *,
        default: T | Callable[[], T] = MISSING,
        key: str | None = None,
        version: int = 1,
    ) -> None:
        super().__init__(CellDefinition(type(self).__name__, self.scope, key, value_type, default, version))

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        subscripted = getattr(self, "__orig_class__", None)  # typing sets it when __init__ is over
        if subscripted is not None and self.definition.value_type is MISSING:
            (self.definition.value_type,) = get_args(subscripted)

    def read(self) -> T:
        """The current value; the initial value where nothing was written. Never creates a session."""
        address = self._address("read", writes=False)
        return self._initial() if address is None else self._on().get(*address)

    async def aread(self) -> T:
        """`read`, awaited."""
        address = await self._aaddress(writes=False)
        return self._initial() if address is None else await self._on().aget(*address)

    def update(self, fn: Callable[[T], T]) -> T:
        """Replace the value by ``fn(value)``, which it returns. ``fn`` runs again when another writer was first.

        What ``fn`` raises is raised unchanged, and nothing is written. Raises `UpdateContended`,
        `UpdateOutcomeUnknown`, `ValueRefused`, `ValueTooLarge`, `CellUnreadable`, `CellFromNewerVersion`, `SessionEnded`.
        """
        return self._on().update(*self._written("update"), fn)

    async def aupdate(self, fn: Callable[[T], T | Awaitable[T]]) -> T:
        """`update`, awaited; ``fn`` runs in the caller's task and may be an async function."""
        return await self._on().aupdate(*await self._awritten(), fn)

    def set(self, value: T) -> T:
        """Replace the value, whatever it is. Raises as `update` does."""
        return self._on().set(*self._written("set"), value)

    async def aset(self, value: T) -> T:
        """`set`, awaited."""
        return await self._on().aset(*await self._awritten(), value)

    def reset(self, *, force: bool = False) -> None:
        """Forget what was written: the initial value shows. ``force`` also discards a value that can't be read."""
        address = self._address("reset", writes=False)
        if address is not None:
            self._on().reset(*address, force=force)

    async def areset(self, *, force: bool = False) -> None:
        """`reset`, awaited."""
        address = await self._aaddress(writes=False)
        if address is not None:
            await self._on().areset(*address, force=force)

    async def changes(self) -> AsyncGenerator[T, None]:
        """The value now, then each newer one; a slow reader misses values in between, never the newest.

        Where there is no session state yet, or no user, nothing can change it from here: it gives the initial value and
        ends.
        """
        address = await self._aaddress(writes=False)
        if address is None:
            yield self._initial()
            return
        async with aclosing(cast(Any, self._on().cell_changes(*address))) as values:
            async for value in values:
                yield value

    def _address(self, verb: str, *, writes: bool) -> Address[T] | None:
        place = self.scope.place(self, verb, writes=writes)
        return None if place is None else self._stored(place)

    async def _aaddress(self, *, writes: bool) -> Address[T] | None:
        place = await self.scope.aplace(self, writes=writes)
        return None if place is None else self._stored(place)

    def _stored(self, place: Place) -> Address[T]:
        spec = self.definition.spec()
        return Address(place.key, spec if place.ttl is None else replace(spec, ttl=place.ttl))

    def _written(self, verb: str) -> Address[T]:
        return cast(Address[T], self._address(verb, writes=True))

    async def _awritten(self) -> Address[T]:
        return cast(Address[T], await self._aaddress(writes=True))

    def _initial(self) -> T:
        initial: T = self.definition.spec().initial()
        return initial
