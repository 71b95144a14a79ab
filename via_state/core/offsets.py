"""Offsets as callers hold them: integers that remember the generation of the log they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import overload
from urllib.parse import quote, unquote

from via_state.core.records import Position
from via_state.exceptions import InvalidOffset

_TOKEN = re.compile(r"([0-9]{1,19})-([A-Za-z0-9_.~-]{1,200})")


class Offset(int):
    """The place of one record in its log. Compare offsets of one key and one ``epoch`` only.

    As JSON, or formatted, it is its number, which says no epoch: hand `token` over to another process instead, and `parse` it there.
    """

    epoch: str

    def __new__(cls, value: int, epoch: str) -> Offset:
        self = super().__new__(cls, value)
        self.epoch = epoch
        return self

    def token(self) -> str:
        """Text that keeps the epoch, as ``"7-2f6c…"``: of letters, digits, ``_``, ``.``, ``~`` and ``-``, so it fits into JSON, headers and URLs."""
        return f"{int(self)}-{quote(self.epoch, safe='').replace('~', '%7E').replace('%', '~')}"

    @classmethod
    def parse(cls, token: str | None) -> Offset:
        """The offset of a `token`. Raises `InvalidOffset`, also for None, as of a header that is missing."""
        found = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if found is not None:
            offset = cls(int(found[1]), unquote(found[2].replace("~", "%")))
            if offset.token() == token:
                return offset
        raise InvalidOffset(f"{token!r:.80} is not the token of an offset. Pass what offset.token() gave.")

    def __reduce__(self) -> tuple[type[Offset], tuple[int, str]]:
        return Offset, (int(self), self.epoch)


def check_offset(value: object) -> None:
    """Raise `InvalidOffset` for what has no epoch, such as a plain integer that came out of JSON."""
    if not isinstance(value, Offset):
        raise InvalidOffset(
            f"at_least={value!r:.80} is not an Offset, and does not say of which epoch it is. Pass what append returned. To hand it to "
            "another process, send offset.token(), and pass Offset.parse(token) there."
        )


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
