"""What processes tell each other."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import msgspec


class _Parcel(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=True):
    pass


class Letter(_Parcel):
    """A message for a channel. ``seconds``: how long it may still wait for its reader."""

    channel: str
    message: bytes
    seconds: float


class Circular(_Parcel):
    """A message for the members of a group."""

    group: str
    message: bytes
    seconds: float


class Join(_Parcel):
    """A channel of the hearer's becomes a member of a group."""

    group: str
    channel: str


class Leave(_Parcel):
    """A channel is no longer a member."""

    group: str
    channel: str


class Want(_Parcel):
    """A process has a reader for a channel that any process may read."""

    channel: str
    process: str


Parcel: TypeAlias = Letter | Circular | Join | Leave | Want

_decoder = msgspec.msgpack.Decoder(Parcel)
encode = msgspec.msgpack.encode
#: Messages themselves: whatever msgpack knows. Tuples come back as lists.
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def decode(data: bytes) -> Parcel:
    """Raises `msgspec.DecodeError`."""
    parcel: Parcel = _decoder.decode(data)
    return parcel


#: The topic for wants.
WANTS = "layer-wants"


def process_topic(process: str) -> str:
    """What one process hears."""
    return f"layer-p-{process}"


def group_topic(group: str) -> str:
    """What processes with members of a group hear."""
    return f"layer-g-{hashlib.blake2b(group.encode(), digest_size=16).hexdigest()}"


def process_of(channel: str) -> str | None:
    """The process whose channel it is; None for one that any process may read."""
    prefix, mark, _ = channel.partition("!")
    return prefix.rpartition(".")[2] if mark else None


def to_message(data: bytes) -> dict[str, Any]:
    """A message of its own for each reader."""
    message: dict[str, Any] = unpack(data)
    return message
