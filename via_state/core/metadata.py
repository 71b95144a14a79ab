"""What is kept beside the event in a record: its fourth element, which code that knows nothing of it passes over."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Facts about an append, the same for each of its records; "" and 0 where they are not known. Unknown names in stored metadata are ignored.

    ``time``: when the append was made, in milliseconds since 1970 by the clock of its process. It is for people and for ages,
    never for the order of events. ``trace``: its W3C ``traceparent``. ``actor``: on whose behalf. ``cause``: the id of the record
    for which an event handler made it.
    """

    time: int = msgspec.field(default=0, name="t")
    trace: str = msgspec.field(default="", name="tp")
    actor: str = msgspec.field(default="", name="u")
    cause: str = msgspec.field(default="", name="c")


NOTHING = Metadata()


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    name: str
    version: int
    payload: msgspec.Raw
    metadata: Metadata = NOTHING


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPES = msgspec.json.Decoder(_Envelope)
_METADATA = msgspec.json.Decoder(Metadata)


def metadata_of(data: bytes, count: int, index: int) -> Metadata:
    """The metadata of one record of a pack of ``count``; whatever the data is, it has an answer."""
    raws = _records(data, count)
    return _one(raws[index]) if raws else NOTHING


def all_metadata(data: bytes, count: int) -> list[Metadata]:
    """That of each record of a pack of ``count``."""
    return [_one(raw) for raw in _records(data, count)] or [NOTHING] * count


def _records(data: bytes, count: int) -> list[msgspec.Raw]:
    try:
        raws = _RAWS.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return []
    return raws if len(raws) == count else []


def _one(raw: msgspec.Raw) -> Metadata:
    try:
        return _ENVELOPES.decode(raw).metadata
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return NOTHING


def as_text(metadata: Metadata) -> str:
    """As a database keeps it."""
    return msgspec.json.encode(metadata).decode()


def from_text(text: str) -> Metadata:
    """What `as_text` wrote; nothing for anything else."""
    try:
        return _METADATA.decode(text)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return NOTHING
