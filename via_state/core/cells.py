"""The stored form of a cell: the value, its version, and which writes made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from via_state.core.fidelity import difference, plain
from via_state.core.nesting import MAX_LEVELS, is_deeper, too_deep
from via_state.core.records import Cell
from via_state.core.text import named, reason, shown_cause
from via_state.core.type_facts import may_be_deeper
from via_state.exceptions import CellFromNewerVersion, CellUnreadable, ValueRefused

T = TypeVar("T")

#: How long, in seconds, and how many writes a cell remembers, so that one whose answer was lost is recognised.
REMEMBERED_SECONDS, REMEMBERED_WRITES = 60.0, 256

Write = tuple[str, float]  # write id, Unix time

#: Stands in a cell's writes for "it was absent before".
NO_WRITE: Write = ("", 0.0)


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
        self._type_name = value_type.__name__ if isinstance(value_type, type) else repr(value_type)
        self.version = version
        self._may_be_deep = may_be_deeper(value_type, MAX_LEVELS)
        self._encoder = msgspec.json.Encoder(enc_hook=plain)
        self._payloads: msgspec.json.Decoder[T] = msgspec.json.Decoder(value_type)

    def encode(self, value: T, *, write_id: str, writes: Sequence[Write], now: float) -> bytes:
        """The stored form of a new value. ``writes`` are the recent ones of the value it replaces.

        Raises `ValueRefused`; what it returns is proven to decode again.
        """
        cause: Exception | None = None
        try:
            payload = self._encoder.encode(value)
            deep = self._may_be_deep and is_deeper(payload, MAX_LEVELS)
            found = too_deep() if deep else difference(value, self._payloads.decode(payload))
        except MemoryError:
            raise
        except RecursionError as error:
            found, cause = too_deep(), error
        except Exception as error:
            # The project's code takes part (__post_init__, __eq__): whatever it raises, the value is not stored.
            found, cause = reason(error), error
        if found is not None:
            raise ValueRefused(
                f"{named(value)} is not stored as {self._type_name}: {found}. Nothing was written. "
                "Give a value of the declared type, or declare the type that it has."
            ) from shown_cause(cause)
        return self._wrap(now, (*_recent(writes or (NO_WRITE,), now), (write_id, round(now))), False, payload)

    def encode_ended(self, now: float) -> bytes:
        """The stored form of a tombstone."""
        return self._wrap(now, (), True, b"null")

    def _wrap(self, now: float, writes: tuple[Write, ...], ended: bool, payload: bytes) -> bytes:
        return self._encoder.encode(_Envelope(self.version, round(now), writes, ended, msgspec.Raw(payload)))

    def decode(self, data: bytes) -> CellState[T]:
        """Raises `CellUnreadable` and `CellFromNewerVersion`. The value of a tombstone is None."""
        envelope = _open(data)
        value: Any = None
        if not envelope.ended:
            if envelope.version > self.version:
                raise CellFromNewerVersion(
                    f"it was written by version {envelope.version} of its declaration, this code has {self.version}: "
                    "deploy the newer code"
                )
            try:
                value = self._payloads.decode(envelope.payload)
            except MemoryError:
                raise
            except Exception as error:
                raise CellUnreadable(
                    f"it does not decode as {self._type_name} ({reason(error)}); restore the type, or reset(force=True) to discard it"
                ) from shown_cause(error)
        return CellState(value, envelope.version, envelope.touched, envelope.writes, envelope.ended)


_envelopes = msgspec.json.Decoder(_Envelope)


def _open(data: bytes) -> _Envelope:
    try:
        return _envelopes.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise CellUnreadable(f"it is not a cell of via_state ({error})") from error


def _recent(writes: Sequence[Write], now: float) -> Sequence[Write]:
    """The writes that somebody may still ask for: those that were the last one within `REMEMBERED_SECONDS`."""
    first = max(0, len(writes) + 1 - REMEMBERED_WRITES)
    while first + 1 < len(writes) and now - writes[first + 1][1] > REMEMBERED_SECONDS:
        first += 1
    return writes[first:]


class LostWrite(Enum):
    """What became of a write that was sent and not answered."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


def judge_lost_write(cell: Cell | None, *, expected_rev: int, writes: Sequence[Write], write_id: str) -> LostWrite:
    """Judge by the cell as it is now; ``expected_rev`` and ``writes`` are those of the value that was to be replaced.

    The cell lists its latest writes without a gap. Ours is among them, or it was not applied if they reach back to
    the one it was to follow; where they do not (too many since, too long ago, or a deletion), nobody can tell.
    """
    remembered = () if cell is None else [one for one, _ in _writes(cell.data)]
    if write_id in remembered:
        return LostWrite.APPLIED
    rev = 0 if cell is None else cell.rev
    if rev == expected_rev or (writes or (NO_WRITE,))[-1][0] in remembered:
        return LostWrite.NOT_APPLIED
    return LostWrite.UNKNOWN


def _writes(data: bytes) -> Sequence[Write]:
    try:
        return _open(data).writes
    except CellUnreadable:
        return ()
