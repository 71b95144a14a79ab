"""The metadata of a log: a message beside its records, which says which of them are in it.

It is in the same stream, so that its place among the records is known, and so that both are restored together.
"""

from __future__ import annotations

import msgspec

from via_state.backplanes.nats.api import Message
from via_state.core.records import Position
from via_state.exceptions import BackplaneRefused


class StoredMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the message holds. ``begin``: the message after which this epoch's records are; None: the metadata itself."""

    epoch: str
    begin: int | None = None
    floor: int = 0
    floor_record: str = ""


class LogMeta(msgspec.Struct, frozen=True):
    """``begin``: the message after which the log's records are. ``seq``: that of the metadata itself."""

    epoch: str
    begin: int
    floor: Position
    seq: int


def log_meta_of(message: Message) -> LogMeta:
    """The metadata that a message holds."""
    try:
        stored = msgspec.json.decode(message.data, type=StoredMeta)
    except msgspec.DecodeError as error:
        raise BackplaneRefused(
            f"The message {message.seq} on NATS, under {message.subject!r}, is none of ours. Remove it."
        ) from error
    begin = message.seq if stored.begin is None else stored.begin
    return LogMeta(stored.epoch, begin, Position(stored.epoch, stored.floor, stored.floor_record), message.seq)
