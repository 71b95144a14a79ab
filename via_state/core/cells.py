"""The stored form of a cell: the value, its version, and which writes made it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Generic, TypeVar

import msgspec

from via_state.core.fidelity import difference, plain
from via_state.core.nesting import MAX_LEVELS, is_deeper, too_deep
from via_state.core.project_code import is_failure
from via_state.core.records import Cell, Revision
from via_state.core.text import named, reason, shown_cause
from via_state.core.type_facts import may_be_deeper
from via_state.exceptions import CellFromNewerVersion, CellUnreadable, ValueRefused

T = TypeVar("T")

#: How long, in seconds, and how many writes a cell remembers, so that one whose answer was lost is recognised.
REMEMBERED_SECONDS, REMEMBERED_WRITES = 60.0, 256
#: Seconds for which a cell that was reset holds which write did that: so that one whose answer was lost is recognised, and a
#: pod that was away hears of it.
RESET_TTL = 3600.0

#: A write's id, and whole seconds since the write before it.
Write = tuple[str, float]

_PAUSE = operator.itemgetter(1)
#: Stands in a cell's writes for "it was absent before".
NO_WRITE: Write = ("", 0.0)


class Holds(IntEnum):
    """What a cell has: a value; nothing, since a reset; nothing, and nothing ever again, since its session's end."""

    VALUE = 0
    RESET = 1
    ENDED = 2


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    version: int
    writes: tuple[Write, ...]
    holds: Holds
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class CellState(Generic[T]):
    """A decoded cell. ``writes``: the latest ones, its own last. ``value`` is None where it holds none."""

    value: T
    version: int
    writes: tuple[Write, ...]
    holds: Holds


class CellCodec(Generic[T]):
    """Encodes and decodes the value of one declared cell; ``value_type`` is anything msgspec can decode."""

    def __init__(self, value_type: Any, version: int = 1) -> None:
        self.type = value_type
        self._type_name = value_type.__name__ if isinstance(value_type, type) else repr(value_type)
        self.version = version
        self._may_be_deep = may_be_deeper(value_type, MAX_LEVELS)
        self._encoder = msgspec.json.Encoder(enc_hook=plain)
        self._payloads: msgspec.json.Decoder[T] = msgspec.json.Decoder(value_type)

    def encode(self, value: T, *, write_id: str, writes: Sequence[Write], pause: float) -> bytes:
        """The stored form of a new value. ``writes`` are the recent ones of the value it replaces, ``pause`` the seconds since
        the last of them.

        Raises `ValueRefused`; what it returns is proven to decode again.
        """
        cause: BaseException | None = None
        try:
            payload = self._encoder.encode(value)
            deep = self._may_be_deep and is_deeper(payload, MAX_LEVELS)
            found = too_deep() if deep else difference(value, self._payloads.decode(payload))
        except MemoryError:
            raise
        except RecursionError as error:
            found, cause = too_deep(), error
        except BaseException as error:
            # The project's code takes part (__post_init__, __eq__): whatever it raises, the value is not stored.
            if not is_failure(error):
                raise
            found, cause = reason(error), error
        if found is not None:
            raise ValueRefused(
                f"{named(value)} is not stored as {self._type_name}: {found}. Nothing was written. "
                "Give a value of the declared type, or declare the type that it has."
            ) from shown_cause(cause)
        return _wrap(self.version, Holds.VALUE, payload, write_id, writes, pause)

    def decode(self, data: bytes) -> CellState[T]:
        """Raises `CellUnreadable` and `CellFromNewerVersion`."""
        envelope = _open(data)
        value: Any = None
        if envelope.holds is Holds.VALUE:
            if envelope.version > self.version:
                raise CellFromNewerVersion(
                    f"it was written by version {envelope.version} of its declaration, this code has {self.version}: "
                    "deploy the newer code"
                )
            try:
                value = self._payloads.decode(envelope.payload)
            except MemoryError:
                raise
            except BaseException as error:
                if not is_failure(error):
                    raise
                raise CellUnreadable(
                    f"it does not decode as {self._type_name} ({reason(error)}); restore the type, or reset(force=True) to discard it"
                ) from shown_cause(error)
        return CellState(value, envelope.version, envelope.writes, envelope.holds)


def encode_nothing(holds: Holds, *, write_id: str, writes: Sequence[Write], pause: float) -> bytes:
    """The stored form of a cell without a value, which code of every version reads. The other arguments are those of
    `CellCodec.encode`.
    """
    return _wrap(0, holds, b"null", write_id, writes, pause)


def _wrap(
    version: int, holds: Holds, payload: bytes, write_id: str, writes: Sequence[Write], pause: float
) -> bytes:
    history = (*_recent(writes or (NO_WRITE,), pause), (write_id, int(pause)))
    return msgspec.json.encode(_Envelope(version, history, holds, msgspec.Raw(payload)))


_envelopes = msgspec.json.Decoder(_Envelope)


def _open(data: bytes) -> _Envelope:
    try:
        return _envelopes.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise CellUnreadable(f"it is not a cell of via_state ({error})") from error


def _recent(writes: Sequence[Write], pause: float) -> Sequence[Write]:
    """The writes that somebody may still ask for: those that were the last one within `REMEMBERED_SECONDS`."""
    first = max(0, len(writes) - (REMEMBERED_WRITES - 1))
    age = pause + sum(map(_PAUSE, writes[first + 2 :]))  # of the write that followed the first one
    while age > REMEMBERED_SECONDS and first < len(writes) - 1:
        first += 1
        age -= sum(map(_PAUSE, writes[first + 1 : first + 2]))
    return writes[first:]


class LostWrite(Enum):
    """What became of a write that was sent and not answered."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


def judge_lost_write(
    cell: Cell | None, *, expected: Revision | None, writes: Sequence[Write], write_id: str, lasts: bool = True
) -> LostWrite:
    """Judge by the cell as it is now; ``expected`` and ``writes`` are those of the value that was to be replaced.

    The cell lists its latest writes without a gap, resets among them. Ours is there, or it was not applied if they reach
    back to the one it was to follow; where they do not (too many since, or too long ago), nobody can tell. Nor can they
    where it may have expired since: ``lasts`` is False then.
    """
    remembered = () if cell is None else [one for one, _ in writes_of(cell.data)]
    if write_id in remembered:
        return LostWrite.APPLIED
    unchanged = expected == (None if cell is None else cell.revision)
    if lasts and (unchanged or (writes or (NO_WRITE,))[-1][0] in remembered):
        return LostWrite.NOT_APPLIED
    return LostWrite.UNKNOWN


def writes_of(data: bytes) -> Sequence[Write]:
    """The latest writes of a cell, whatever its value; none of what is not a cell."""
    try:
        return _open(data).writes
    except CellUnreadable:
        return ()


def holds_of(data: bytes) -> Holds:
    """What a cell has. Of what is not a cell: a value, which nobody can read."""
    try:
        return _open(data).holds
    except CellUnreadable:
        return Holds.VALUE
