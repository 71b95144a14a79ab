"""The metadata of a log: a message beside its records, which says which of them are in it.

It is in the same stream, so that its place among the records is known, and so that both are restored together.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

import msgspec

from via_state.backplanes.nats.api import (
    WRONG_LAST_SEQUENCE,
    Message,
    Refused,
    call,
    get,
    get_many,
    publish,
    publish_each,
)
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.subjects import Subjects, key_headers
from via_state.backplanes.nats.tokens import token_of
from via_state.core.records import Position
from via_state.exceptions import BackplaneRefused


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """``begin``: the message after which this epoch's records are; None: the metadata itself."""

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


class LogMetas:
    """Reads the metadata of logs from the leader, and replaces it by compare-and-swap."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects

    def subject(self, key: str) -> str:
        return self._subjects.metas + token_of(key)

    async def load(self, connection: Connection, key: str) -> LogMeta | None:
        """None for a log that was never written."""
        message = await get(connection, self._subjects.log_stream, last_by_subj=self.subject(key))
        return None if message is None else log_meta_of(message)

    async def create(self, connection: Connection, key: str, epoch: str) -> None:
        """For a log that has none. Somebody else's is as good."""
        await self._replace(connection, key, 0, _Stored(epoch, 0))

    async def load_many(self, connection: Connection, keys: Sequence[str], seq: int) -> dict[str, LogMeta]:
        """Those of several keys, from a server that has the message ``seq``, or from the leader; without what can't be read."""
        subjects = {self.subject(key): key for key in keys}
        found = await get_many(connection, self._subjects.log_stream, multi_last=list(subjects))
        metas: dict[str, LogMeta] = {}
        for message in found.messages:
            with contextlib.suppress(BackplaneRefused):  # whoever asks for that one alone learns it
                metas[subjects[message.subject]] = log_meta_of(message)
        if found.last_seq < seq:  # a server that lags behind answered
            loaded = await asyncio.gather(*(self.load(connection, key) for key in keys))
            metas = {key: meta for key, meta in zip(keys, loaded, strict=True) if meta is not None}
        return metas

    async def create_many(self, connection: Connection, keys: Sequence[str]) -> list[str]:
        """As `create`, for several. Gives those that have metadata now."""
        messages = [
            (
                self.subject(key),
                msgspec.json.encode(_Stored(uuid.uuid4().hex, 0)),
                {"Nats-Expected-Last-Subject-Sequence": "0", **key_headers(key)},
            )
            for key in keys
        ]
        made = await publish_each(connection, messages)
        return [key for key, one in zip(keys, made, strict=True) if isinstance(one, int) or _is_there(one)]

    async def begin_again(
        self, connection: Connection, key: str, meta: LogMeta, epoch: str, through: int | None = None
    ) -> int | None:
        """Put all records so far out of the log, or those up to the message ``through``.

        Returns the message up to which they are out; None if ``meta`` is not the current one.
        """
        made = await self._replace(connection, key, meta.seq, _Stored(epoch, through))
        return made if made is None or through is None else through

    async def raise_floor(self, connection: Connection, key: str, meta: LogMeta, floor: Position) -> int | None:
        """As `begin_again`."""
        stored = _Stored(meta.epoch, meta.begin, floor.offset, floor.record_id)
        return await self._replace(connection, key, meta.seq, stored)

    async def _replace(self, connection: Connection, key: str, seq: int, stored: _Stored) -> int | None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(seq), **key_headers(key)}
        try:
            found = await publish(connection, self.subject(key), headers, msgspec.json.encode(stored))
        except Refused as error:
            if error.code in WRONG_LAST_SEQUENCE:
                return None
            raise
        if seq:
            body = {"filter": self.subject(key), "keep": 1}
            await call(connection, f"STREAM.PURGE.{self._subjects.log_stream}", body, write=True)
        return found


def _is_there(error: Exception) -> bool:
    return isinstance(error, Refused) and error.code in WRONG_LAST_SEQUENCE


def log_meta_of(message: Message) -> LogMeta:
    """The metadata that a message holds."""
    try:
        stored = msgspec.json.decode(message.data, type=_Stored)
    except msgspec.DecodeError as error:
        raise BackplaneRefused(
            f"The message {message.seq} on NATS, under {message.subject!r}, is none of ours. Remove it."
        ) from error
    begin = message.seq if stored.begin is None else stored.begin
    return LogMeta(stored.epoch, begin, Position(stored.epoch, stored.floor, stored.floor_record), message.seq)
