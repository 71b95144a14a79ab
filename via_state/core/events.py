"""The stored form of events: a pack is a JSON array of ``[stored name, version, payload]``, one for each event."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec

from via_state.core.event_types import EventType
from via_state.exceptions import DeclarationError, EventRefused


class Unreadable(Enum):
    """Why a record gives no event."""

    UNDECODABLE = "undecodable"
    UNKNOWN = "unknown"  # nobody declares its name
    RETIRED = "retired"  # its name is declared to be a no-op
    NEWER = "newer"  # written by a newer version of the code; only that one may fold it


class Decoded(NamedTuple):
    """The records of a pack, in order: events, and `Unreadable` where ``clean`` is False."""

    events: list[Any]
    clean: bool


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    name: str
    version: int
    payload: msgspec.Raw


class EventCodec:
    """Encodes and decodes the events of one log.

    ``retired``: stored names that no class stands for any more and that fold to nothing.
    Raises `DeclarationError` when two types claim one stored name.
    """

    def __init__(self, types: Sequence[EventType], retired: Iterable[str] = ()) -> None:
        self.types = tuple(types)
        self.retired = frozenset(retired)
        self._by_name: dict[str, EventType] = {}
        for event_type in self.types:
            for name in (event_type.name, *event_type.aliases):
                if name in self._by_name or name in self.retired:
                    other = self._by_name[name].type.__name__ if name in self._by_name else "retired"
                    raise DeclarationError(
                        f"The stored event name {name!r} is claimed by {event_type.type.__name__} and {other}. "
                        "Set event_name on one of the classes."
                    )
                self._by_name[name] = event_type
        self._heads = {one.type: (one.name, one.version) for one in self.types}
        self._payloads = {one.type: msgspec.json.Decoder(one.type) for one in self.types}
        self._encoder = msgspec.json.Encoder()
        self._packs = msgspec.json.Decoder(list[_union(self._by_name)])  # type: ignore[misc]
        self._raws = msgspec.json.Decoder(list[msgspec.Raw])
        self._envelopes = msgspec.json.Decoder(_Envelope)

    def encode(self, events: Sequence[object]) -> bytes:
        """The pack of these events. Raises `EventRefused`; what it returns is proven to decode again."""
        if not events:
            raise EventRefused("There is nothing to append: give at least one event.")
        heads = self._heads
        try:
            data = self._encoder.encode([(*heads[type(event)], event) for event in events])
            self._packs.decode(data)
        except (KeyError, TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            for event in events:
                self._refuse(event)
            raise
        return data

    def _refuse(self, event: object) -> None:
        """Raise the reason if this is the event that can't be appended."""
        name = type(event).__name__
        if type(event) not in self._heads:
            declared = ", ".join(one.type.__name__ for one in self.types)
            raise EventRefused(f"{name} is not declared for this log. Append one of: {declared}.")
        try:
            self._payloads[type(event)].decode(self._encoder.encode(event))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise EventRefused(
                f"{name} can't be stored: {error}. Give its fields values of the declared types; "
                "convert what JSON does not carry (a model instance: its pk) before appending."
            ) from error

    def decode(self, data: bytes, count: int) -> Decoded:
        """The events of a pack of ``count`` records. Never raises."""
        try:
            envelopes = self._packs.decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return self._decode_one_by_one(data, count)
        if len(envelopes) != count:
            return Decoded([Unreadable.UNDECODABLE] * count, False)
        return Decoded([envelope.payload for envelope in envelopes], True)

    def _decode_one_by_one(self, data: bytes, count: int) -> Decoded:
        try:
            raws = self._raws.decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            raws = []
        if len(raws) != count:
            return Decoded([Unreadable.UNDECODABLE] * count, False)
        return Decoded([self._decode_one(raw) for raw in raws], False)

    def _decode_one(self, raw: msgspec.Raw) -> Any:
        try:
            envelope = self._envelopes.decode(raw)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return Unreadable.UNDECODABLE
        if envelope.name in self.retired:
            return Unreadable.RETIRED
        event_type = self._by_name.get(envelope.name)
        if event_type is None:
            return Unreadable.UNKNOWN
        if envelope.version > event_type.version:
            return Unreadable.NEWER
        try:
            if envelope.version == event_type.version:
                return self._payloads[event_type.type].decode(envelope.payload)
            return event_type.upcast(msgspec.json.decode(envelope.payload), envelope.version)
        except Exception:
            # An upcaster is the project's code: whatever it raises, the record has no event here.
            return Unreadable.UNDECODABLE


def join_packs(packs: Sequence[bytes]) -> bytes:
    """One pack of the records of several, in order."""
    return b"[" + b",".join([pack[1:-1] for pack in packs]) + b"]"


def _union(types: dict[str, EventType]) -> Any:
    """A type by which msgspec decodes a whole pack in one call: a tagged union of envelopes of the current versions."""
    envelopes = [
        msgspec.defstruct(
            f"Envelope{index}",
            [("version", Literal[one.version]), ("payload", one.type)],  # type: ignore[list-item]
            tag=name,
            array_like=True,
            gc=False,
        )
        for index, (name, one) in enumerate(types.items())
    ]
    return functools.reduce(operator.or_, envelopes)
