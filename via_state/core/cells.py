"""The stored form of a cell: the value, its version, and which writes made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from via_state.exceptions import CellFromNewerVersion, CellUnreadable, ValueRefused

T = TypeVar("T")

#: How long, in seconds, and how many writes a cell remembers, so that one whose answer was lost is recognised.
REMEMBERED_SECONDS, REMEMBERED_WRITES = 60.0, 64

Write = tuple[str, float]  # write id, Unix time


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    version: int
    touched: float
    writes: tuple[Write, ...]
    ended: bool
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class CellState(Generic[T]):
    """A decoded cell. ``touched``: Unix time of the last write. ``ended``: a tombstone, which has no value."""

    value: T
    version: int
    touched: float
    writes: tuple[Write, ...]
    ended: bool


class CellCodec(Generic[T]):
    """Encodes and decodes the value of one declared cell; ``value_type`` is anything msgspec can decode."""

    def __init__(self, value_type: Any, version: int = 1) -> None:
        self.type = value_type
        self.version = version
        self._encoder = msgspec.json.Encoder()
        self._envelopes = msgspec.json.Decoder(_Envelope)
        self._payloads: msgspec.json.Decoder[T] = msgspec.json.Decoder(value_type)

    def encode(self, value: T, *, write_id: str, writes: Sequence[Write], now: float) -> bytes:
        """The stored form of a new value. ``writes`` are the recent ones of the value it replaces.

        Raises `ValueRefused`; what it returns is proven to decode again.
        """
        try:
            payload = self._encoder.encode(value)
            self._payloads.decode(payload)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise ValueRefused(
                f"{value!r:.100} is not stored as {self.type!r}: {error}. Nothing was written."
            ) from error
        recent = [write for write in writes if now - write[1] <= REMEMBERED_SECONDS][1 - REMEMBERED_WRITES :]
        return self._wrap(now, (*recent, (write_id, now)), False, payload)

    def encode_ended(self, now: float) -> bytes:
        """The stored form of a tombstone."""
        return self._wrap(now, (), True, b"null")

    def _wrap(self, now: float, writes: tuple[Write, ...], ended: bool, payload: bytes) -> bytes:
        return self._encoder.encode(_Envelope(self.version, round(now, 3), writes, ended, msgspec.Raw(payload)))

    def decode(self, data: bytes) -> CellState[T]:
        """Raises `CellUnreadable` and `CellFromNewerVersion`. The value of a tombstone is None."""
        try:
            envelope = self._envelopes.decode(data)
        except (ValueError, msgspec.MsgspecError) as error:
            raise CellUnreadable(f"it is not a cell of via_state ({error})") from error
        if envelope.version > self.version:
            raise CellFromNewerVersion(
                f"it was written by version {envelope.version} of its declaration, this code has {self.version}: "
                "deploy the newer code"
            )
        value: Any = None
        if not envelope.ended:
            try:
                value = self._payloads.decode(envelope.payload)
            except (ValueError, RecursionError, msgspec.MsgspecError) as error:
                raise CellUnreadable(
                    f"it does not decode as {self.type!r} ({error}); restore the type, or reset(force=True) to discard it"
                ) from error
        return CellState(value, envelope.version, envelope.touched, envelope.writes, envelope.ended)


class LostWrite(Enum):
    """What became of a write that was sent and not answered."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


def judge_lost_write(state: CellState[Any] | None, rev: int, *, expected_rev: int, write_id: str) -> LostWrite:
    """Judge by the cell as it is now (None and 0: absent). Ask within `REMEMBERED_SECONDS` of the write."""
    if state is not None and any(write == write_id for write, _ in state.writes):
        return LostWrite.APPLIED
    if rev == expected_rev:
        return LostWrite.NOT_APPLIED
    if state is None or state.ended or len(state.writes) >= REMEMBERED_WRITES:
        return LostWrite.UNKNOWN  # deleted since, or so many writes since that ours may have been forgotten
    return LostWrite.NOT_APPLIED
