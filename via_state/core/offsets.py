"""Offsets as callers hold them: integers that remember the generation of the log they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from via_state.core.records import Position


class Offset(int):
    """The place of one record in its log. Compare offsets of one key and one ``epoch`` only."""

    epoch: str

    def __new__(cls, value: int, epoch: str) -> Offset:
        self = super().__new__(cls, value)
        self.epoch = epoch
        return self

    def __reduce__(self) -> tuple[type[Offset], tuple[int, str]]:
        return Offset, (int(self), self.epoch)


class Offsets(Sequence[Offset]):
    """The offsets of one append, in order; like ``range``, it makes each when it is asked for."""

    __slots__ = ("_epoch", "_range")

    def __init__(self, last: Position, count: int) -> None:
        self._epoch = last.epoch
        self._range = range(last.offset - count + 1, last.offset + 1)

    @overload
    def __getitem__(self, index: int) -> Offset: ...
    @overload
    def __getitem__(self, index: slice) -> list[Offset]: ...
    def __getitem__(self, index: int | slice) -> Offset | list[Offset]:
        if isinstance(index, slice):
            return [Offset(value, self._epoch) for value in self._range[index]]
        return Offset(self._range[index], self._epoch)

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[Offset]:
        return (Offset(value, self._epoch) for value in self._range)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self._range) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self._range))
