"""The stored form of events: a pack is a JSON array of ``[stored name, version, payload, metadata]``, one for each event. The metadata may be absent."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec

from via_state.core.event_types import EventType
from via_state.core.exact import exact
from via_state.core.fidelity import difference, field_names, plain
from via_state.core.metadata import Metadata
from via_state.core.nesting import MAX_LEVELS, is_deeper, too_deep
from via_state.core.project_code import is_failure
from via_state.core.text import reason, shown_cause
from via_state.core.type_facts import equality_tells, may_be_deeper
from via_state.exceptions import DeclarationError, EventRefused


class Unreadable(Enum):
    """Why a record gives no event."""

    UNDECODABLE = "undecodable"
    UNKNOWN = "unknown"  # nobody declares its name
    RETIRED = "retired"  # its name is declared to be a no-op
    NEWER = "newer"  # written by a newer version of the code; only that one may fold it


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """The records of a pack, in order: events, and `Unreadable` where ``clean`` is False."""

    events: list[Any]
    clean: bool


class Stored(NamedTuple):
    """One record as it is stored. What is not a record of ours has no ``name``, and is the ``payload`` as a whole."""

    name: str
    version: int
    payload: str


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    name: str
    version: int
    payload: msgspec.Raw


class EventCodec:
    """Encodes and decodes the events of one log.

    ``retired``: stored names that no class stands for any more and that fold to nothing.
    Raises `DeclarationError` when two types claim one stored name, or one of them can't be decoded.
    """

    def __init__(self, types: Sequence[EventType], retired: Iterable[str] = ()) -> None:
        if not types:
            raise DeclarationError("A log needs at least one event class.")
        self.types = tuple(types)
        self.retired = frozenset(retired)
        self._by_name: dict[str, EventType] = {}
        for event_type in self.types:
            for name in dict.fromkeys((event_type.name, *event_type.aliases)):
                self._claim(name, event_type)
        self._heads = {one.event: (one.name, one.version) for one in self.types}
        self._payloads = {one.event: _decoder(one) for one in self.types}
        self._fields = {one.event: _getter(one.event) for one in self.types}
        self._exact = {one.event: exact(one.event) for one in self.types}
        self._may_be_deep = any(may_be_deeper(one.event, MAX_LEVELS) for one in self.types)
        self._encoder = msgspec.json.Encoder(enc_hook=plain)
        self._packs = msgspec.json.Decoder(list[_union(self._by_name)])  # type: ignore[misc]
        self._raws = msgspec.json.Decoder(list[msgspec.Raw])
        self._envelopes = msgspec.json.Decoder(_Envelope)

    def _claim(self, name: str, event_type: EventType) -> None:
        """Give a stored name to a type. Raises `DeclarationError` when it is taken."""
        claimed = f"The stored event name {name!r} is claimed by {event_type.event.__name__}"
        if name in self.retired:
            raise DeclarationError(f"{claimed}, and it is in retired=. Remove it from one of them.")
        if (other := self._by_name.setdefault(name, event_type)) is not event_type:
            raise DeclarationError(
                f"{claimed} and by {other.event.__name__}. Set event_name on one of the classes, and list each class once."
            )

    def encode(self, events: Sequence[object], metadata: Metadata | None = None) -> bytes:
        """The pack of these events, each with the ``metadata``. Raises `EventRefused`; what it returns is proven to decode to the same events."""
        if not events:
            raise EventRefused("There is nothing to append: give at least one event.")
        heads = self._heads
        data, read, why = b"", [], ""
        try:
            if len(events) == 1 and metadata is not None:
                data = self._encoder.encode(((*heads[type(events[0])], events[0], metadata),))
            elif metadata is None:
                data = self._encoder.encode([(*heads[type(event)], event) for event in events])
            else:
                beside = msgspec.Raw(self._encoder.encode(metadata))
                data = self._encoder.encode([(*heads[type(event)], event, beside) for event in events])
            if self._lose_nothing(events):
                return data
            read = self._packs.decode(data)
        except MemoryError:
            raise
        except BaseException as error:
            if not is_failure(error):
                raise
            data, why = b"", reason(error)  # below the first event that is to blame raises
        deep = self._may_be_deep and is_deeper(data, MAX_LEVELS + 2)  # a pack has two levels of its own
        if not data or deep or not self._same(events, [envelope.payload for envelope in read]):
            for event in events:
                self._refuse(event)
        if not data:
            raise EventRefused(f"These events can't be stored together: {why}.")
        return data

    def _lose_nothing(self, events: Sequence[object]) -> bool:
        """Whether their types alone prove that they come back the same."""
        check = self._exact[type(events[0])]
        if check is None:
            return False
        if len(events) == 1:
            return check(events[0])
        return len(set(map(type, events))) == 1 and all(map(check, events))

    def _same(self, events: Sequence[object], read: Sequence[object]) -> bool:
        """Whether these events came back, by their fields; False also where their classes can't tell."""
        try:
            fields = self._fields[type(events[0])]
            alike = fields is not None and (len(events) == 1 or len(set(map(type, events))) == 1)
            if alike and list(map(fields, events)) == list(map(fields, read)):  # type: ignore[arg-type]
                return True
            return not any(map(difference, events, read))
        except BaseException as error:
            if not is_failure(error):
                raise
            return False

    def _refuse(self, event: object) -> None:
        """Raise the reason if this is the event that can't be appended."""
        name = type(event).__name__
        if type(event) not in self._heads:
            declared = ", ".join(one.event.__name__ for one in self.types)
            raise EventRefused(f"{name} is not declared for this log. Append one of: {declared}.")
        cause: BaseException | None = None
        try:
            data = self._encoder.encode(event)
            deep = is_deeper(data, MAX_LEVELS)
            found = too_deep() if deep else difference(event, self._payloads[type(event)].decode(data))
        except MemoryError:
            raise
        except RecursionError as error:
            found, cause = too_deep(), error
        except BaseException as error:
            if not is_failure(error):
                raise
            found, cause = reason(error), error
        if found is not None:
            raise EventRefused(
                f"{name} can't be stored: {found}. Give its fields values of the declared types; "
                "convert what JSON does not carry (a model instance: its pk) before appending."
            ) from shown_cause(cause)

    def decode(self, data: bytes, count: int) -> Decoded:
        """The events of a pack of ``count`` records; whatever the data is, it has an answer."""
        try:
            envelopes = self._packs.decode(data)
        except MemoryError:
            raise
        except BaseException as error:
            # Not only msgspec's errors: a __post_init__ of the project may raise anything.
            if not is_failure(error):
                raise
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
            return self._event(envelope.name, envelope.version, envelope.payload)
        except MemoryError:
            raise
        except BaseException as error:
            # An upcaster is the project's code: whatever it raises, the record has no event here.
            if not is_failure(error):
                raise
            return Unreadable.UNDECODABLE

    def _event(self, name: str, version: int, payload: bytes | msgspec.Raw) -> Any:
        """The event, or why there is none. Raises whatever decoding raises."""
        if name in self.retired:
            return Unreadable.RETIRED
        event_type = self._by_name.get(name)
        if event_type is None:
            return Unreadable.UNKNOWN
        if version > event_type.version:
            return Unreadable.NEWER
        if version == event_type.version:
            return self._payloads[event_type.event].decode(payload)
        return event_type.upcast(msgspec.json.decode(payload), version)

    def stored(self, data: bytes, count: int, index: int) -> Stored:
        """One record of a pack of ``count``, as it is stored; whatever the data is, it has an answer."""
        try:
            raws = self._raws.decode(data)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            raws = []
        if len(raws) != count:  # nobody can tell the records apart: the first one stands for all
            return Stored("", 0, _text(data) if index == 0 else "")
        try:
            envelope = self._envelopes.decode(raws[index])
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return Stored("", 0, _text(raws[index]))
        if envelope.version < 1:
            return Stored("", 0, _text(raws[index]))
        return Stored(envelope.name, envelope.version, _text(envelope.payload))

    def read(self, record: Stored) -> Any:
        """The event of a stored record, or `Unreadable`."""
        text = f"[{msgspec.json.encode(record.name).decode()},{record.version},{record.payload}]"
        return self._decode_one(msgspec.Raw((text if record.name else record.payload).encode()))

    def problem(self, record: Stored) -> str:
        """Why a stored record can't be decoded, for people, without its values."""
        if not record.name:
            return "it is not a record that via_state has written"
        try:
            self._event(record.name, record.version, record.payload.encode())
        except MemoryError:
            raise
        except BaseException as error:
            if not is_failure(error):
                raise
            if record.version < self._by_name[record.name].version:
                return f"bringing it from version {record.version} to the current one failed: {reason(error)}"
            return reason(error)
        return ""

    def type_named(self, name: str) -> EventType | None:
        """The type of event that is stored under a name."""
        return self._by_name.get(name)


def _text(data: bytes | msgspec.Raw) -> str:
    """What a database stores."""
    return bytes(data).decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _getter(event: type[Any]) -> Callable[[Any], Any] | None:
    """All fields of an event at once, where comparing them with ``==`` is enough; None where it is not."""
    names = field_names(event)
    return operator.attrgetter(*names) if names and equality_tells(event) else None


def _decoder(event_type: EventType) -> msgspec.json.Decoder[Any]:
    try:
        return msgspec.json.Decoder(event_type.event)
    except Exception as error:
        raise DeclarationError(
            f"{event_type.event.__name__} can't be decoded: {error}. Annotate its fields with types that exist at run time "
            "and that JSON carries."
        ) from error


def join_packs(packs: Sequence[bytes]) -> bytes:
    """One pack of the records of several, in order."""
    return b"[" + b",".join([pack[1:-1] for pack in packs]) + b"]"


def _union(types: dict[str, EventType]) -> Any:
    """A type by which msgspec decodes a whole pack in one call: a tagged union of envelopes of the current versions."""
    envelopes = [
        msgspec.defstruct(
            f"Envelope{index}",
            [("version", Literal[one.version]), ("payload", one.event)],
            tag=name,
            array_like=True,
            gc=False,
        )
        for index, (name, one) in enumerate(types.items())
    ]
    return functools.reduce(operator.or_, envelopes)
